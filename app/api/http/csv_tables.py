"""Tables for spreadsheets: CSV that Excel and WPS open with all letters, with headings in the client's language."""

import csv
import io
from typing import Annotated

from fastapi import Depends, Header, Query, Response

from app.language import choice
from app.language.catalogue import chinese, heading

BYTE_ORDER_MARK = "\ufeff"  # tells Excel that a file is UTF-8
TYPE = "text/csv; charset=utf-8"
SENTENCES = {"why"}  # columns whose texts the service made; others hold names and numbers


def _spoken(
    lang: Annotated[
        choice.Language | None, Query(description="Language of the headings of a CSV, before Accept-Language.")
    ] = None,
    accept_language: Annotated[str, Header(include_in_schema=False)] = "",
) -> choice.Language:
    return lang or choice.of_header(accept_language)


Spoken = Annotated[choice.Language, Depends(_spoken)]


def csv_answer(table: str, language: choice.Language) -> Response:
    """An answer with a CSV whose headings are in English in `table`, and in `language` afterwards."""
    headers = {"Vary": "Accept-Language"}
    if language == "zh":
        table, headers["Content-Language"] = _in_chinese(table), language
    return Response(BYTE_ORDER_MARK + table, media_type=TYPE, headers=headers)


def _in_chinese(table: str) -> str:
    columns, *rows = csv.reader(io.StringIO(table, newline=""))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(heading, columns))
    for row in rows:
        writer.writerow(
            chinese(cell) if column in SENTENCES else cell for column, cell in zip(columns, row, strict=True)
        )
    return text.getvalue()
