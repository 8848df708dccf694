"""A short soak test: nothing accepted is lost or done twice, whatever is killed. `make soak` runs a long one."""

from pathlib import Path

import pytest

from benchmarks.soak.run import Plan, soak


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded", "postgresql+redis"])
def test_nothing_accepted_is_lost_or_done_twice(embedded: bool, tmp_path: Path) -> None:
    plan = Plan(jobs=12, kills=2, seed=7, embedded=embedded, minutes=3, apis=1, workers=2)
    report = soak(plan, tmp_path)
    assert report["violations"] == []
    assert report["strange_answers"] == []
    assert report["messages"]["jobs not told"] == 0 and report["messages"]["jobs told"] >= 8
    assert report["acknowledged"] >= 8
    assert sum(report["blows"].values()) >= 2
