"""Where time goes: shares of the whole."""

import re
import time

import pytest

from ml.nn.training.timing import Stages


def test_shares_come_in_order_and_make_up_the_whole() -> None:
    stages = Stages()
    for _ in range(2):
        for name in ("forward", "loss"):
            with stages(name):
                time.sleep(0.001)
    line = stages.line()
    assert re.findall(r"([a-z]+) [\d.]+%", line) == ["forward", "loss", "other"]
    assert sum(map(float, re.findall(r"([\d.]+)%", line))) == pytest.approx(100, abs=0.2)
    assert re.findall(r"([a-z]+) [\d.]+%", stages.line()) == ["other"], "begins anew"


def test_a_stage_that_fails_is_counted_too() -> None:
    stages = Stages()
    with pytest.raises(ZeroDivisionError), stages("forward"):
        _ = 1 // 0
    assert "forward" in stages.line()
