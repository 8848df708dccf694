"""What the demo says of its interval is true of the numbers beside it."""

import pytest

from app.cli.demo import meaning


@pytest.mark.parametrize(
    ("known_ha", "said"), [(11.55, "outside"), (10.7, "inside"), (9.5, "inside"), (9.4, "outside")]
)
def test_the_demo_says_whether_the_truth_is_inside_its_interval(known_ha: float, said: str) -> None:
    text = meaning(known_ha, [9.5, 10.7])
    assert f"The truth is {said} the interval." in text
    assert "from the blocks of a single test scene" in text
