"""Allocation, size and expected precision agree with the textbooks and with what samples really do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract import ClassDef
from ml.faults import InputRefused
from ml.sampling.allocation import allocate, shares
from ml.sampling.design import Allocation, Design, Frame
from ml.sampling.plan import ErrorRates, Plan
from ml.sampling.precision import expected, size_for

CLASSES = tuple(ClassDef(value=value, name=name) for value, name in enumerate(("a", "b", "c", "d")))
# Olofsson et al. 2014, section 5.1: mapped pixels of 30 m, conjectured user's accuracies, target SE(O) = 0.01
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
WEIGHTS = np.array([0.020, 0.015, 0.320, 0.645])
USERS = np.array([0.7, 0.6, 0.9, 0.95])


def test_the_size_is_that_of_olofsson() -> None:
    # table 4 there: n = 641 of eq. 13, for the standard error of the overall accuracy
    share = np.stack([1 - USERS, USERS], axis=1)

    def se_of(n: int) -> float:
        shared = n * (WEIGHTS * np.sqrt(USERS * (1 - USERS))) / (WEIGHTS * np.sqrt(USERS * (1 - USERS))).sum()
        return float(expected(share, np.full(4, 10**12), WEIGHTS, shared)[1][1])

    assert size_for(0.01, se_of, 4, 10_000) == 641


@pytest.mark.parametrize(
    ("allocation", "n", "wanted"), [("equal", 640, [160, 160, 160, 160]), ("proportional", 640, [13, 10, 204, 413])]
)
def test_points_are_shared_out_as_in_table_5_of_olofsson(allocation: Allocation, n: int, wanted: list[int]) -> None:
    share = shares(allocation, WEIGHTS)
    assert allocate(share, n, np.full(4, 2), PIXELS).tolist() == pytest.approx(wanted, abs=1)


def test_neyman_gives_the_smallest_expected_error_of_all_allocations() -> None:
    share, area = np.stack([1 - USERS, USERS], axis=1), 1000 * WEIGHTS
    deviation = np.sqrt(USERS * (1 - USERS))
    names: tuple[Allocation, ...] = ("neyman", "proportional", "equal", "power")
    errors = {
        name: expected(
            share,
            PIXELS,
            area,
            allocate(shares(name, area, deviation), 500, np.full(4, 2), PIXELS),
        )[1][1]
        for name in names
    }
    assert min(errors, key=errors.__getitem__) == "neyman"


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e6), st.integers(1, 40), st.integers(0, 1000)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_the_points_of_the_strata_keep_their_limits_and_add_up(
    strata: list[tuple[float, int, int]], place: float
) -> None:
    share, least = np.array([row[0] for row in strata]), np.array([row[1] for row in strata])
    most = least + [row[2] for row in strata]
    n = int(least.sum() + place * (most.sum() - least.sum()))
    counts = allocate(share, n, least, most)
    assert counts.sum() == n and (counts >= least).all() and (counts <= most).all()
    free = (counts > least) & (counts < most)
    if free.sum() > 1:  # those without a limit are in proportion, up to rounding
        scale = counts[free] / share[free]
        assert ((counts[free] - 1) / share[free]).max() <= ((counts[free] + 1) / share[free]).min() or np.allclose(
            scale, scale[0]
        )


def frame(pixels: dict[int, int]) -> Frame:
    area = {value: count * 0.01 for value, count in pixels.items()}
    return Frame(
        sha256="0" * 64,
        pixels=sum(pixels.values()),
        area_ha=sum(area.values()),
        classes=CLASSES[: len(pixels)],
        class_area_ha=area,
        class_pixels=pixels,
    )


TWO = frame({0: 90_000, 1: 10_000})
TESTED = np.array([[950, 20], [50, 180]])


def test_a_target_is_met_by_the_smallest_sample_that_meets_it() -> None:
    plan = Plan(TWO, Design(target_cv=0.10), ErrorRates(TESTED))
    counts = plan.counts()
    assert plan.expected(counts)[1].cv == pytest.approx(0.10, abs=2e-4)
    fewer = Plan(TWO, Design(n=int(counts.sum()) - 1), ErrorRates(TESTED))
    cv = fewer.expected(fewer.counts())[1].cv
    assert cv is not None and cv > 0.10


@pytest.mark.parametrize("kind", ["stratified", "random"])
def test_the_expected_error_is_that_of_many_samples(kind: str) -> None:
    rng = np.random.default_rng(1)
    plan = Plan(TWO, Design.model_validate({"kind": kind, "n": 400}), ErrorRates(TESTED))
    counts = plan.counts()
    mapped = np.repeat([0, 1], [90_000, 10_000])
    truly = rng.random(100_000) < np.where(mapped, 0.9, 0.05)
    found = []
    for _ in range(1500):
        groups = [np.flatnonzero(np.isin(mapped, group.values)) for group in plan.members]
        means = [truly[rng.choice(group, n, replace=False)].mean() for group, n in zip(groups, counts, strict=True)]
        found.append(plan.area_ha @ means)
    assert plan.expected(counts)[1].estimated_ha == pytest.approx(np.mean(found), rel=0.02)
    assert plan.expected(counts)[1].se_ha == pytest.approx(np.std(found), rel=0.08)


REFUSED = [
    (Design(n=50), TWO, "sample_too_small"),
    (Design(n=200, kind="random"), frame({0: 90, 1: 10}), "sample_too_large"),
    (Design(target_cv=1e-3), TWO, "target_out_of_reach"),
]


@pytest.mark.parametrize(("design", "of", "code"), REFUSED)
def test_what_cannot_be_drawn_is_refused(design: Design, of: Frame, code: str) -> None:
    with pytest.raises(InputRefused) as refused:
        Plan(of, design, ErrorRates(TESTED)).counts()
    assert [fault.code for fault in refused.value.faults] == [code]


@pytest.mark.parametrize("design", [Design(target_cv=0.1), Design(n=100, allocation="neyman")])
def test_what_needs_error_rates_is_refused_without_and_says_why(design: Design) -> None:
    for rates, why in (
        (ErrorRates(None, "It was not scored."), "It was not scored."),
        (ErrorRates(np.array([[5, 0], [1, 0]])), "no test pixel"),
    ):
        with pytest.raises(InputRefused, match=why):
            Plan(TWO, design, rates).counts()
    plan = Plan(TWO, Design(n=100), ErrorRates(None, "It was not scored."))
    assert plan.counts().sum() == 100
    assert (plan.expected(plan.counts()), plan.why) == ((), "It was not scored.")


def test_a_class_that_the_map_does_not_have_is_no_stratum(tmp_path: Path) -> None:
    of = frame({0: 5000, 1: 0, 2: 1000})
    plan = Plan(of, Design(n=100), ErrorRates(np.array([[9, 0, 1], [1, 0, 1], [0, 0, 8]])))
    assert [stratum.key for stratum in plan.strata(plan.counts(), None)] == ["0", "2"]
    assert len(plan.expected(plan.counts())) == 3, "it may still be there on the ground"


def test_a_small_stratum_is_taken_whole() -> None:
    plan = Plan(frame({0: 5000, 1: 12}), Design(n=100), ErrorRates(TESTED))
    assert plan.counts().tolist() == [88, 12]
    assert plan.strata(plan.counts(), None)[1].inclusion == 1


def test_a_test_without_errors_does_not_make_a_sample_needless() -> None:
    plan = Plan(TWO, Design(target_cv=0.01), ErrorRates(np.array([[50, 0], [0, 50]])))
    assert plan.counts().sum() > 100
    assert all(row.se_ha > 0 for row in plan.expected(plan.counts()))
