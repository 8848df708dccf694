"""Uploads by multipart form, for browsers and portals that can do nothing else; and how OpenAPI shows uploads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from app.api.http.receiving import check_announced, received_part
from app.core.errors import invalid, refuse_any
from app.core.names import NAME, check_name, printable
from app.data.uploads import no_room_is_told
from app.services import Services
from app.storage import Upload
from ml.faults import Fault

Parameters = TypeVar("Parameters", bound=BaseModel)
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
# not required: with `upload` there must be none
RAW_BODY: dict[str, Any] = {"requestBody": {"content": {"application/octet-stream": {"schema": _FILE}}}}


def form_body(parameters: type[BaseModel]) -> dict[str, Any]:
    """A form in OpenAPI. parameters: its fields beside `id` and `file`."""
    fields = parameters.model_json_schema()["properties"]
    optional = {name: {"anyOf": _kinds(field)} for name, field in fields.items()}
    schema = {
        "type": "object",
        "required": ["id", "file"],
        "properties": {"id": {"type": "string", "pattern": f"^{NAME.pattern}$"}, "file": _FILE, **optional},
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _kinds(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [kind for kind in field.get("anyOf", [field]) if kind != {"type": "null"}]


@asynccontextmanager
async def form(
    request: Request, services: Services, parameters: type[Parameters]
) -> AsyncIterator[tuple[str, Parameters, Upload]]:
    """What a multipart upload says: the name, the parameters from the other fields, and the file."""
    check_announced(request, services)
    with no_room_is_told():  # Starlette writes the file to a temporary one first
        await request.form(max_files=1, max_fields=20)
    async with request.form() as data:
        part = data.get("file")
        if not isinstance(part, UploadFile):
            raise invalid("missing-file", "The form has no file.", "Send the file as the field `file`.", "/file")
        async with received_part(part, services) as upload:
            yield check_name(str(data.get("id", ""))), _parsed(data, parameters), upload


def _parsed(data: FormData, parameters: type[Parameters]) -> Parameters:
    texts = {key: value for key, value in data.items() if key not in ("id", "file")}
    if unknown := sorted(texts.keys() - parameters.model_fields.keys()):
        known = ", ".join(sorted({"id", "file", *parameters.model_fields}))
        hint = f"Known: {known}."
        faults = (Fault("unknown_field", f"There is no field {key!r} here.", hint, f"/{key}") for key in unknown)
        refuse_any("unknown-field", faults)
    given = {key: _text(key, value) for key, value in texts.items() if value}
    try:
        return parameters.model_validate(given)
    except ValidationError as error:
        items = error.errors(include_url=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in items]) from error


def _text(key: str, value: object) -> str:
    return printable(str(value).replace("\r\n", "\n"), f"/{key}")  # browsers end lines so
