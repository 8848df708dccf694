"""Cells of CSV files, which spreadsheets open."""

import pytest

from ml.csv_text import plain_cells


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_compute_begins_with_an_apostrophe(text: str) -> None:
    assert plain_cells([text]) == [f"'{text}"]


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    line = [-1.5, -2, None, "cane", "a=b", ""]
    assert plain_cells(line) == line
