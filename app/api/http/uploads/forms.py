"""Uploads by multipart form, for browsers and portals that can do nothing else; and how OpenAPI shows uploads."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.api.http import digests
from app.api.http.deps import check_new
from app.api.http.parameters import MOST_CHARACTERS, refuse
from app.api.http.uploads.form_reader import FormReader
from app.api.http.uploads.receiving import check_announced, received_file, stream
from app.client import id_of_file, stem_of, title_of_file
from app.core.errors import Invalid
from app.core.idempotency import IdempotentRequest
from app.core.names import NAME
from app.services import Services
from app.storage import Upload
from ml.faults import Fault
from ml.text import is_one_line, is_storable

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
        "required": ["file"],
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
    """What a multipart upload says: the name, the parameters from the other fields, and the file.

    Without a name it is made from that of the file, which becomes the title if the parameters have none.
    """
    check_announced(request, services)
    reader = FormReader(request.headers.get("content-type", ""))
    async with received_file(request, reader.file(digests.checked(request, stream(request))), services) as upload:
        name, fields = read_fields(reader.texts, reader.filename, parameters)
        yield name, fields, upload


def read_fields(texts: dict[str, str], filename: str | None, parameters: type[Parameters]) -> tuple[str, Parameters]:
    """The name and the parameters that the fields beside a file say. Raises an error with everything that is wrong."""
    if not texts.get("id") and filename:
        _name(texts, filename)
    _check(texts, parameters)
    return texts["id"], parameters.model_validate(_given(texts))


def once(head: IdempotentRequest, name: str, fields: BaseModel, upload: Upload) -> IdempotentRequest:
    """The request with all that the form says. Its own bytes would not do: each repetition has another boundary."""
    return head.with_body(f"{name} {fields.model_dump_json()} {upload.sha256}".encode())


def _name(texts: dict[str, str], filename: str) -> None:
    """Add the id that the name of the file gives, and the title if it is not the id."""
    texts["id"] = id_of_file(filename)
    if not texts.get("title") and texts["id"] != stem_of(filename) and (title := title_of_file(filename)):
        texts["title"] = title


def _check(texts: Mapping[str, str], parameters: type[BaseModel]) -> None:
    """Raise an error with everything that is wrong with the fields of a form."""
    faults = [*_name_faults(texts.get("id", "")), *_unknown(texts, parameters), *_unreadable(texts)]
    items: list[dict[str, Any]] = []
    try:
        parameters.model_validate(_given(texts))
    except ValidationError as error:
        items = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
    refuse(faults, items)


def _given(texts: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are not empty; browsers end lines by two characters."""
    return {key: value.replace("\r\n", "\n") for key, value in texts.items() if value and key != "id"}


def _name_faults(name: str) -> tuple[Fault, ...]:
    try:
        check_new(name, "/id")
    except Invalid as refused:
        return refused.faults
    return ()


def _unknown(texts: Mapping[str, str], parameters: type[BaseModel]) -> Iterator[Fault]:
    hint = f"Known: {', '.join(sorted({'id', 'file', *parameters.model_fields}))}."
    for key in sorted(texts.keys() - parameters.model_fields.keys() - {"id"}):
        yield Fault("unknown_field", f"There is no field {key[:80]!r} here.", hint, _at(key))


def _unreadable(texts: Mapping[str, str]) -> Iterator[Fault]:
    for key, value in _given(texts).items():
        if not is_storable(value):
            yield Fault("invalid_text", "The text holds control characters.", "Remove them.", _at(key))


def _at(key: str) -> str:
    return f"/{key[:MOST_CHARACTERS]}" if is_one_line(key) else ""
