"""The Lovász weights agree with their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from ml.figures.hinge import PIXELS, POSITIVES, draw_hinge, lovasz_weights


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_weight_is_the_growth_of_the_jaccard_loss(positive: list[bool]) -> None:
    def loss(errors: int) -> float:
        wrong = sum(not item for item in positive[:errors])
        return errors / (sum(positive) + wrong) if errors else 0.0

    expected = [loss(count + 1) - loss(count) for count in range(len(positive))]
    assert lovasz_weights(np.array(positive)) == pytest.approx(expected)


def test_all_weights_of_the_example_are_drawn_and_sum_to_one() -> None:
    left, right = draw_hinge().axes
    assert len(left.lines) == 3
    heights = [bar.get_height() for bar in right.patches if isinstance(bar, Rectangle)]
    assert len(heights) == PIXELS
    assert sum(heights) == pytest.approx(1)
    assert len(right.containers[0]) == POSITIVES
