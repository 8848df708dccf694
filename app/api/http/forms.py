"""Uploads by multipart form, for browsers and portals that can do nothing else; and how OpenAPI shows uploads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.api.http.form_reader import FormReader
from app.api.http.receiving import check_announced, received_file, stream
from app.core.errors import refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import NAME, check_name, printable
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
    reader = FormReader(request.headers.get("content-type", ""))
    async with received_file(reader.file(stream(request)), services) as upload:
        yield check_name(reader.texts.get("id", "")), _parsed(reader.texts, parameters), upload


def once(head: IdempotentRequest, name: str, fields: BaseModel, upload: Upload) -> IdempotentRequest:
    """The request with all that the form says. Its own bytes would not do: each repetition has another boundary."""
    return head.with_body(f"{name} {fields.model_dump_json()} {upload.sha256}".encode())


def _parsed(fields: Mapping[str, str], parameters: type[Parameters]) -> Parameters:
    texts = {key: value for key, value in fields.items() if key != "id"}
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


def _text(key: str, value: str) -> str:
    return printable(value.replace("\r\n", "\n"), f"/{key}")  # browsers end lines so
