"""OpenAPI descriptions of the parts of answers that are not JSON: headers, files, pictures and texts."""

import os
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable, Response
from starlette.types import Receive, Scope, Send

from app.api.http.copies import copies_of, has_copy
from app.api.http.digests import of_stored, repr_digest
from app.api.http.problems import Responses

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
TEXT: dict[str, Any] = {"schema": {"type": "string"}}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


LOCATION = {"Location": _header("Address of the resource.")}
ETAG = {"ETag": _header("Revision of the resource, for If-Match.")}
NEXT = {"Link": _header('The next page, as <URL>; rel="next". Absent on the last page.')}
APPLIED = {"Preference-Applied": _header("respond-async, if the request prefers it.")}
CACHE = {"ETag": _header("Hash of the content."), "Cache-Control": _header("Says that the content never changes.")}
DRAWN = {"ETag": CACHE["ETag"], "Cache-Control": _header("Says that a copy is valid as long as the ETag is the same.")}
UNCHANGED = {304: {"description": "The copy of the client is still valid.", "headers": CACHE}}
OFFSET = {"Upload-Offset": {"description": "Number of bytes that are stored safely.", "schema": {"type": "integer"}}}


def answer(status: int, headers: dict[str, Any] | None = None, model: type[BaseModel] | None = None) -> Responses:
    """An answer with these headers. model: type of the answer, if it is not the return type of the route."""
    return {status: {"headers": headers or {}} | ({"model": model} if model else {})}


def created(headers: dict[str, Any] | None = None) -> Responses:
    """201 with the address of the new resource in the header Location."""
    return answer(201, LOCATION | (headers or {}))


def uploaded(model: type[BaseModel], headers: dict[str, Any] | None = None) -> Responses:
    """201 for a new file, or 200 if the same bytes were stored before."""
    again = answer(200, LOCATION | (headers or {}), model)[200] | {"description": "The same bytes were stored before."}
    return created(headers) | {200: again}


def content(types: dict[str, dict[str, Any]], headers: dict[str, Any] | None = None) -> Responses:
    """200 with content of one of these media types. types: schemas by media type."""
    return {200: {"content": types, "headers": headers or {}}}


def file(*media_types: str) -> Responses:
    """A file of one of these media types: the whole file, or the bytes that the header Range names."""
    types = dict.fromkeys(media_types, BINARY)
    headers = {"Accept-Ranges": _header("bytes"), "Repr-Digest": _header("sha-256 of the whole file (RFC 9530).")}
    partial = {"description": "The bytes that Range names.", "content": types}
    return content(types, headers) | {206: partial}


class GeoJson(JSONResponse):
    """An answer that is GeoJSON, as STAC Items are."""

    media_type = "application/geo+json"


class StoredFile(FileResponse):
    """A file, with Range as in RFC 9110, section 14: a header that is not understood is ignored.

    It is not read for a client that has it already. The ETag of a file of the store is its sha256, so that a client can
    go on at another host. sha256: Of the whole file in hex, which the answer states; None if it is not known.
    """

    def __init__(self, path: Path, media_type: str, filename: str, sha256: str | None, status_code: int = 200) -> None:
        headers = repr_digest(sha256) if sha256 else {}
        if stored := of_stored(path):
            headers["etag"] = f'"{stored}"'
        super().__init__(path, status_code, headers, media_type, filename=filename)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or its header alone if the client has the newest copy."""
        if copies_of(scope) and self.stat_result is None:
            self.stat_result = await run_in_threadpool(os.stat, self.path)
            self.set_stat_headers(self.stat_result)
        if has_copy(copies_of(scope), self.headers.get("etag", "")):
            await Response(status_code=304, headers={"etag": self.headers["etag"]})(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            detail = f"The file has {file_size} bytes; Range names bytes beyond its end."
            raise HTTPException(416, detail, {"Content-Range": f"bytes */{file_size}"}) from error
