"""Uploads by multipart form, for browsers and portals that can do nothing else; and how OpenAPI shows uploads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from app.api.http.receiving import check_announced, received_part
from app.core.errors import Invalid, invalid
from app.core.names import check_name, printable
from app.data.uploads import no_room_is_told
from app.services import Services
from app.storage import Upload
from ml.faults import Fault

RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["id", "file"],
                    "properties": {"id": {"type": "string"}, "file": {"type": "string", "format": "binary"}},
                    "additionalProperties": {"type": "string"},
                }
            }
        },
    }
}


@dataclass
class Fields:
    """The text fields of a form; remembers which were asked for, so that an unknown one is not passed over."""

    form: FormData
    known: set[str] = field(default_factory=lambda: {"id", "file"})

    @property
    def name(self) -> str:
        """The name that the uploaded thing shall have."""
        return check_name(str(self.form.get("id", "")))

    def text(self, key: str, most: int) -> str | None:
        """The field `key`, of `most` characters at most, or None."""
        self.known.add(key)
        value = self.form.get(key)
        if not isinstance(value, str) or not value:
            return None
        if len(value) > most:
            raise invalid("invalid-text", f"{key!r} is too long.", f"Write at most {most} characters.", f"/{key}")
        return printable(value.replace("\r\n", "\n"), f"/{key}")  # browsers end lines so

    def number(self, key: str) -> float | None:
        """The field `key` as a number, or None."""
        text = self.text(key, 100)
        try:
            number = None if text is None else float(text)
        except ValueError:
            number = nan
        if number is not None and not isfinite(number):
            raise invalid("invalid-number", f"{key!r} is not a number.", "Write a number, for instance 0.", f"/{key}")
        return number

    def check_all_known(self) -> None:
        """Refuse fields that nobody asked for."""
        faults = [
            Fault(
                "unknown_field",
                f"There is no field {key!r} here.",
                f"Known: {', '.join(sorted(self.known))}.",
                f"/{key}",
            )
            for key in sorted(set(self.form) - self.known)
        ]
        if faults:
            raise Invalid("unknown-field", *faults)


@asynccontextmanager
async def form(request: Request, services: Services) -> AsyncIterator[tuple[Fields, Upload]]:
    """The fields and the file of a multipart upload."""
    check_announced(request, services)
    with no_room_is_told():  # Starlette writes the file to a temporary one first
        await request.form(max_files=1, max_fields=20)
    async with request.form() as data:
        part = data.get("file")
        if not isinstance(part, UploadFile):
            raise invalid("missing-file", "The form has no file.", "Send the file as the field `file`.", "/file")
        async with received_part(part, services) as upload:
            yield Fields(data), upload


def check_target(name: str) -> None:
    """Refuse a bad name before the body is read."""
    check_name(name, "path:name")
