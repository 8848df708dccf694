"""Names and ids."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.names import NAME, check_name, new_id


@pytest.mark.parametrize("name", ["wuming-2018", "a", "A_b.C-1", "x" * 80, "_a", "-a"])
def test_good_names_are_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a b", "a\x00", "x" * 81, "甘蔗", "a\n", "a%2F"])
def test_bad_names_are_refused_and_the_hint_says_the_rule(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_name(name)
    assert "1 to 80" in refused.value.faults[0].hint


@given(st.text())
def test_no_valid_name_is_a_path_outside_its_folder(name: str) -> None:
    if NAME.fullmatch(name):
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isascii()


def test_ids_sort_by_time_and_are_unique() -> None:
    first = [new_id("trn") for _ in range(100)]
    time.sleep(0.002)
    later = new_id("trn")
    assert len(set(first)) == 100
    assert max(first) < later
