"""Tables are never cut: not at 80 columns, and not in a pipe."""

import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from app.cli import tables

ID = "trn_0123456789abcdefghjkmnpqrs"
MESSAGE = "The training has a test split that shares ground with the scenes that it was trained on."


def drawn(columns: tuple[str, ...], rows: list[tuple[object, ...]], *, terminal: bool = True, width: int = 80) -> str:
    """What is printed on a terminal of `width` columns, or into a pipe."""
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=terminal, width=width, color_system=None)
    tables.draw(console, columns, rows)
    return buffer.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_id_and_no_number_is_cut_on_a_terminal_of_any_width(width: int) -> None:
    rows: list[tuple[object, ...]] = [(f"{ID}{n}", "training", "running", 1234567.891, MESSAGE) for n in range(3)]
    shown = drawn(("jobID", "kind", "status", "mapped_ha", "message"), rows, width=width)
    assert "…" not in shown
    assert all(f"{ID}{n}" in shown for n in range(3))
    assert shown.count("1,234,567.89") == 3
    assert all(word in shown for word in MESSAGE.split())


def test_sentences_are_folded_before_a_table_becomes_records() -> None:
    shown = drawn(("id", "message"), [("s1", MESSAGE), ("s2", MESSAGE)])
    assert [line.split() for line in shown.splitlines()].count(["id", "message"]) == 1, "there is one heading"
    assert max(map(len, shown.splitlines())) <= 80


def test_one_row_is_shown_as_a_record() -> None:
    assert drawn(("class", "mapped_ha"), [("sugarcane", 11.5512)]) == "class      sugarcane\nmapped_ha  11.55\n"


def test_records_of_a_wide_table_are_apart_from_each_other() -> None:
    shown = drawn(("id", "other"), [(ID * 2, ID * 2)] * 2)
    assert shown.count("\n\n") == 1
    assert shown.count(ID * 2) == 4


def test_chinese_names_count_as_wide_as_they_are() -> None:
    lines = drawn(("name", "n"), [("武鸣区甘蔗种植面积", 1), ("b", 2)]).splitlines()
    assert {cell_len(line.rstrip()[:-1]) for line in lines} == {cell_len("武鸣区甘蔗种植面积") + 2}


def test_a_pipe_gets_tab_separated_values_with_a_heading() -> None:
    rows: list[tuple[object, ...]] = [("s1", 1234567.891, 0.74621, None, "a\tb\nc", 12345), ("s2", 1.0, 1.0, 2, "", 0)]
    text = drawn(("id", "mapped_ha", "iou", "eta_s", "message", "pixels"), rows, terminal=False, width=20)
    assert text == (
        "id\tmapped_ha\tiou\teta_s\tmessage\tpixels\ns1\t1234567.89\t0.7462\t\ta b c\t12345\ns2\t1.00\t1.0000\t2\t\t0\n"
    )


def test_a_terminal_shows_titles_only_if_there_are_some() -> None:
    assert "title" not in drawn(("id", "title"), [("s1", None), ("s2", None)])
    assert "武鸣" in drawn(("id", "title"), [("s1", None), ("s2", "武鸣")])
    assert drawn(("id", "title"), [("s1", None)], terminal=False) == "id\ttitle\ns1\t\n"


def test_a_table_without_rows_has_its_heading() -> None:
    assert drawn(("id", "status"), [], terminal=False) == "id\tstatus\n"
    assert "status" in drawn(("id", "status"), [])


def test_a_time_is_local_and_short_on_a_terminal_and_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        now = datetime.now(UTC).replace(hour=20, minute=5)
        row = (now.isoformat(), "2001-12-31T23:00:00Z")
        assert drawn(("created", "due"), [row]).split() == [
            *("created", f"{now + timedelta(days=1):%m-%d}", "04:05"),
            *("due", "2002-01-01"),
        ]
        assert drawn(("created", "due"), [row], terminal=False).splitlines()[1] == "\t".join(row)
    finally:
        monkeypatch.undo()
        time.tzset()
