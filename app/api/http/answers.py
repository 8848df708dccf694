"""What OpenAPI says of answers beside their JSON: headers, files, pictures, texts."""

from typing import Any

from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from app.api.http.problems import Responses

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
TEXT: dict[str, Any] = {"schema": {"type": "string"}}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


LOCATION = {"Location": _header("Where it is.")}
ETAG = {"ETag": _header("What it is now, for If-Match.")}
NEXT = {"Link": _header('The next page, as <URL>; rel="next"; absent on the last one.')}
CACHE = {"ETag": _header("The content."), "Cache-Control": _header("It never changes.")}
OFFSET = {"Upload-Offset": {"description": "Bytes that are safe.", "schema": {"type": "integer"}}}


def answer(status: int, headers: dict[str, Any] | None = None, model: type[BaseModel] | None = None) -> Responses:
    """An answer with these headers. model: if it is not the one that the route declares by its type."""
    return {status: {"headers": headers or {}} | ({"model": model} if model else {})}


def created(headers: dict[str, Any] | None = None) -> Responses:
    """201, with the address of what was made."""
    return answer(201, LOCATION | (headers or {}))


def uploaded(model: type[BaseModel], headers: dict[str, Any] | None = None) -> Responses:
    """201 or, for the same bytes again, 200."""
    again = answer(200, LOCATION | (headers or {}), model)[200] | {"description": "It was there, with the same bytes."}
    return created(headers) | {200: again}


def content(types: dict[str, dict[str, Any]], headers: dict[str, Any] | None = None) -> Responses:
    """200, with content of these media types and their schemas."""
    return {200: {"content": types, "headers": headers or {}}}


def file(*media_types: str) -> Responses:
    """A file of one of these types: whole, or the part that `Range` asks for."""
    types = dict.fromkeys(media_types, BINARY)
    part = {"description": "The part that Range asks for.", "content": types}
    return content(types, {"Accept-Ranges": _header("bytes")}) | {206: part}


class StoredFile(FileResponse):
    """A file, with Range as RFC 9110, section 14 says: one that is not understood is passed over."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            detail = f"The file has {file_size} bytes; Range asks for what lies beyond."
            raise HTTPException(416, detail, {"Content-Range": f"bytes */{file_size}"}) from error
