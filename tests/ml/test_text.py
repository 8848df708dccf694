"""Which texts may enter documents."""

import pytest

from ml.text import is_one_line, is_storable, values_in


@pytest.mark.parametrize("text", ["a\0b", "\x0b", "\x1b[2J", "\x7f", "\x85", "\ud800", "\ufffe", "\r"])
def test_control_characters_and_lone_surrogates_are_neither_storable_nor_a_line(text: str) -> None:
    assert not is_storable(text)
    assert not is_one_line(text)


@pytest.mark.parametrize("text", ["", "甘蔗\u3000other", "a\u200bb", "\ufeffcane", "\U0001f33e", "né"])
def test_any_other_text_is_both(text: str) -> None:
    assert is_storable(text)
    assert is_one_line(text)


def test_a_storable_text_may_have_lines_and_a_name_may_not() -> None:
    assert is_storable("one\n\ttwo")
    assert not is_one_line("one\ntwo")
    assert not is_one_line("one\ttwo")


def test_all_values_and_keys_are_found_with_their_pointers() -> None:
    found = sorted(values_in({"a": [1, {"b": "x"}], "c": None}), key=str)
    assert found == [("", "a"), ("", "c"), ("/a/0", 1), ("/a/1", "b"), ("/a/1/b", "x"), ("/c", None)]
