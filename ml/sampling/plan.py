"""The strata of a frame, and how many points each gets by a design."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.faults import Fault, InputRefused
from ml.sampling.allocation import Counts, Floats, allocate, shares
from ml.sampling.design import MOST_POINTS, WHOLE, Design, Expected, Frame, Stratum
from ml.sampling.precision import class_shares, deviations, expected, size_for

NO_RATE = "The map has a class that no test pixel was mapped as."
BY_PROBABILITY = "The errors on the test split are not known by ranges of probability."
CLUSTERED = "How much the points of a cluster are alike is not known before they are labelled."


@dataclass(frozen=True)
class ErrorRates:
    """The errors of a model, as far as they are known before the sample.

    confusion: Tested pixels by true and mapped class, shape (classes, classes); None if there are none, for the reason
    in `why`.
    """

    confusion: NDArray[np.int64] | None = None
    why: str | None = None


@dataclass
class Plan:
    """The strata of a frame, and how many points each gets."""

    frame: Frame
    design: Design
    rates: ErrorRates
    why: str | None = None
    members: list[tuple[int, ...]] = field(init=False)  # class values of each stratum
    pixels: Counts = field(init=False)
    area_ha: Floats = field(init=False)
    share: Floats | None = field(init=False)  # of each class in each stratum, as expected

    def __post_init__(self) -> None:
        there = [item.value for item in self.frame.classes if self.frame.class_pixels[item.value]]
        whole = self.design.kind != "stratified"
        self.members = [tuple(there)] if whole else [(value,) for value in there]
        by_class = self.frame.class_pixels, self.frame.class_area_ha
        pixels, area_ha = ([[each[value] for value in values] for values in self.members] for each in by_class)
        self.pixels = np.array([sum(each) for each in pixels], dtype=np.int64)
        self.area_ha = np.array([sum(each) for each in area_ha], dtype=np.float64)
        self.share = self._shares(there, whole)

    def _shares(self, there: list[int], whole: bool) -> Floats | None:
        if self.rates.confusion is None or self.design.kind == "cluster":
            self.why = self.rates.why if self.rates.confusion is None else CLUSTERED
            return None
        index = [number for number, item in enumerate(self.frame.classes) if item.value in there]
        found = class_shares(self.rates.confusion, index)
        if found is None:
            self.why = NO_RATE
        elif whole:
            weights = np.array([self.frame.class_area_ha[value] for value in there])
            found = (weights @ found / weights.sum())[None]
        return found

    @property
    def of_interest(self) -> list[int]:
        """The indices of the classes whose areas matter: of two classes the second, of more classes all."""
        number = len(self.frame.classes)
        return [1] if number == 2 else list(range(number))

    def counts(self) -> Counts:
        """The number of points in each stratum. Raises `InputRefused`."""
        least = np.minimum(self.design.min_per_stratum if len(self.pixels) > 1 else 2, self.pixels)
        largest = min(MOST_POINTS, int(self.pixels.sum()))
        if self.share is None and (self.design.n is None or self.design.allocation == "neyman"):
            hint = "Say n, and another allocation than neyman, or use a model that was scored on a test split."
            raise InputRefused(Fault("no_error_rates", f"Errors cannot be expected. {self.why}", hint, "/design"))
        share = shares(self.design.allocation, self.area_ha, self._deviations())
        n = self.design.n or self._size(share, least, largest)
        self._check(n, least, largest)
        return allocate(share, n, least, self.pixels)

    def _deviations(self) -> Floats | None:
        return None if self.share is None else deviations(self.share, self.of_interest)

    def _size(self, share: Floats, least: Counts, largest: int) -> int:
        target = self.design.target_cv
        assert target is not None and self.share is not None
        found = size_for(target, lambda n: self._cv(allocate(share, n, least, self.pixels)), int(least.sum()), largest)
        if found is None:
            best = self._cv(allocate(share, largest, least, self.pixels))
            detail = f"Even {largest} points are expected to give a coefficient of variation of {best:.4f}."
            hint = "Ask for a larger target_cv, or map with a better model."
            raise InputRefused(Fault("target_out_of_reach", detail, hint, "/design/target_cv"))
        return found

    def _cv(self, counts: Counts) -> float:
        assert self.share is not None
        area, error = expected(self.share, self.pixels, self.area_ha, counts)
        wanted = [index for index in self.of_interest if area[index] > 0]
        return max((float(error[index] / area[index]) for index in wanted), default=0.0)

    def _check(self, n: int, least: Counts, largest: int) -> None:
        if n < least.sum():
            detail = f"{n} points are too few for {len(least)} strata, which need {least.sum()} together."
            hint = "Ask for more points, or for a smaller min_per_stratum."
            raise InputRefused(Fault("sample_too_small", detail, hint, "/design/n"))
        if n > largest:
            detail = f"The map has only {largest} pixels with a class."
            raise InputRefused(Fault("sample_too_large", detail, "Ask for fewer points.", "/design/n"))

    def wanted(self, counts: Counts) -> dict[tuple[int, ...], tuple[int, int]]:
        """For `draw_strata`: the class values of each stratum, its pixels, and its points."""
        return dict(zip(self.members, zip(self.pixels.tolist(), counts.tolist(), strict=True), strict=True))

    def strata(self, counts: Counts, inclusion: float | None) -> tuple[Stratum, ...]:
        """The strata. inclusion: Probability of a pixel of a systematic sample; None where points are drawn."""
        columns = self.members, self.pixels.tolist(), self.area_ha.tolist(), counts.tolist()
        return tuple(
            Stratum(
                key=self.key_of(values[0]),
                name=self._name(values),
                pixels=pixels,
                area_ha=area_ha,
                n=n,
                inclusion=n / pixels if inclusion is None else inclusion,
            )
            for values, pixels, area_ha, n in zip(*columns, strict=True)
        )

    def key_of(self, value: int) -> str:
        """The key of the stratum to which the pixels of a class belong."""
        return str(value) if self.design.kind == "stratified" else WHOLE

    def _name(self, values: tuple[int, ...]) -> str:
        if self.design.kind != "stratified":
            return WHOLE
        return next(item.name for item in self.frame.classes if item.value == values[0])

    def expected(self, counts: Counts) -> tuple[Expected, ...]:
        """The expected precision of the area of each class; empty if it is not known."""
        if self.share is None:
            return ()
        area, error = expected(self.share, self.pixels, self.area_ha, counts)
        return tuple(
            Expected(class_name=item.name, estimated_ha=ha, se_ha=se, cv=se / ha if ha > 0 else None)
            for item, ha, se in zip(self.frame.classes, area.tolist(), error.tolist(), strict=True)
        )
