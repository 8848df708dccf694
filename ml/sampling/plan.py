"""The strata of a frame, and how many points each gets by a design."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.geo.windows import Window
from ml.sampling.allocation import Counts, Floats, allocate, shares
from ml.sampling.cells import LEAST_PIXELS, Cell, Group, cells_of, merged_away, strata_of
from ml.sampling.design import MOST_POINTS, WHOLE, Design, Expected, Frame, Stratum
from ml.sampling.draw import StratumOf
from ml.sampling.precision import class_shares, deviations, expected, size_for
from ml.text import first_few
from ml.zones.numbering import NO_ZONE, ZoneNumbers

NO_RATE = "The map has a class that no test pixel was mapped as."
BY_PROBABILITY = "The errors on the test split are not known by ranges of probability."
OUTSIDE = "outside"  # in the names of strata of ground outside all zones
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
    """The strata of a frame, and how many points each gets.

    cells: The pixels of the frame by zone and class; by default the classes alone. zone_names: Code, and name or code,
    of the zones of the cells.
    """

    frame: Frame
    design: Design
    rates: ErrorRates
    cells: Sequence[Cell] | None = None
    zone_names: Sequence[tuple[str, str]] = ()
    why: str | None = None
    members: tuple[Group, ...] = field(init=False)  # the cells of each stratum
    pixels: Counts = field(init=False)
    area_ha: Floats = field(init=False)
    share: Floats | None = field(init=False)  # of each class in each stratum, as expected

    def __post_init__(self) -> None:
        cells = _by_class(self.frame) if self.cells is None else self.cells
        self.members = (Group(NO_ZONE, tuple(cells)),) if self._whole else strata_of(cells)
        self.pixels = np.array([group.pixels for group in self.members], dtype=np.int64)
        self.area_ha = np.array([group.area_ha for group in self.members], dtype=np.float64)
        self.share = self._shares()

    @property
    def _whole(self) -> bool:
        return self.design.kind != "stratified"

    def _shares(self) -> Floats | None:
        if self.rates.confusion is None or self.design.kind == "cluster":
            self.why = self.rates.why if self.rates.confusion is None else CLUSTERED
            return None
        there = sorted({cell.value for group in self.members for cell in group.cells})
        index = [number for number, item in enumerate(self.frame.classes) if item.value in there]
        found = class_shares(self.rates.confusion, index)
        if found is None:
            self.why = NO_RATE
            return None
        weights = np.zeros((len(self.members), len(there)))
        for number, group in enumerate(self.members):
            for cell in group.cells:
                weights[number, there.index(cell.value)] += cell.area_ha
        return np.asarray(weights @ found / weights.sum(axis=1, keepdims=True))

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
        if self.design.n is None:
            counts = self._for_target(share, least)
        else:
            self._check(self.design.n, least, largest)
            counts = allocate(share, self.design.n, least, self.pixels)
        self._check(int(counts.sum()), least, largest)
        return counts

    def _deviations(self) -> Floats | None:
        return None if self.share is None else deviations(self.share, self.of_interest)

    def _for_target(self, share: Floats, least: Counts) -> Counts:
        """As few points as meet the target: on all ground, or in each zone. Ground outside all zones has no target."""
        counts, faults = least.copy(), list[Fault]()
        for zone, strata in self.by_zone.items() if self.zone_names else [(None, np.arange(len(share)))]:
            try:
                counts[strata] = self._size(zone, strata, share[strata], least[strata])
            except InputRefused as refused:
                faults += refused.faults
        refuse_any(faults)
        if counts.sum() > MOST_POINTS and self.zone_names:
            detail = (
                f"The target takes {counts.sum()} points in all zones together; a sample has at most {MOST_POINTS}."
            )
            hint = "Ask for a larger target_cv, or draw several samples, by parts of the zones."
            raise InputRefused(Fault("target_out_of_reach", detail, hint, "/design/target_cv"))
        return counts

    def _size(self, zone: str | None, strata: NDArray[np.int64], share: Floats, least: Counts) -> Counts:
        """The points of some strata that together meet the target. Raises `InputRefused`."""
        target, pixels = self.design.target_cv, self.pixels[strata]
        assert target is not None
        largest = min(MOST_POINTS, int(pixels.sum()))

        def shared(n: int) -> Counts:
            return allocate(share, n, least, pixels)

        if least.sum() > largest:
            self._check(largest, least, largest)
        found = size_for(target, lambda n: self._cv(strata, shared(n)), int(least.sum()), largest)
        if found is None:
            best = self._cv(strata, shared(largest))
            detail = f"Even {largest} points are expected to give a coefficient of variation of {best:.4f}."
            hint = "Ask for a larger target_cv, or map with a better model."
            if zone:
                detail = (
                    f"In zone {zone}, even {largest} points are expected to give a coefficient of variation of "
                    f"{best:.4f}."
                )
                hint = (
                    "Ask for a larger target_cv, for n instead, or leave out zones that have hardly any of the class."
                )
            raise InputRefused(Fault("target_out_of_reach", detail, hint, "/design/target_cv"))
        return shared(found)

    def _cv(self, strata: NDArray[np.int64], counts: Counts) -> float:
        area, error = self._expected(strata, counts)
        wanted = [index for index in self.of_interest if area[index] > 0]
        return max((float(error[index] / area[index]) for index in wanted), default=0.0)

    def _expected(self, strata: NDArray[np.int64], counts: Counts) -> tuple[Floats, Floats]:
        assert self.share is not None
        return expected(self.share[strata], self.pixels[strata], self.area_ha[strata], counts)

    def _check(self, n: int, least: Counts, largest: int) -> None:
        if n < least.sum():
            detail = f"{n} points are too few for {len(least)} strata, which need {least.sum()} together."
            hint = "Ask for more points, or for a smaller min_per_stratum."
            if least.sum() > MOST_POINTS:
                detail = f"{len(least)} strata need {least.sum()} points together; a sample has at most {MOST_POINTS}."
                hint = "Ask for a smaller min_per_stratum, or for fewer zones."
            raise InputRefused(Fault("sample_too_small", detail, hint, "/design/n"))
        if n > largest:
            detail = f"The map has only {largest} pixels with a class."
            raise InputRefused(Fault("sample_too_large", detail, "Ask for fewer points.", "/design/n"))

    @property
    def by_zone(self) -> dict[str, NDArray[np.int64]]:
        """The strata of each zone that has some, by its code."""
        found = dict[str, list[int]]()
        for number, group in enumerate(self.members):
            if (zone := self._zone(group)) is not None:
                found.setdefault(zone, []).append(number)
        return {zone: np.array(numbers) for zone, numbers in found.items()}

    def _zone(self, group: Group) -> str | None:
        return None if group.zone == NO_ZONE else self.zone_names[group.zone - 1][0]

    def stratum_of(self, zones: ZoneNumbers | None = None) -> StratumOf:
        """The function by which `draw_strata` knows the stratum of a pixel. zones: Those of the cells."""
        table = np.full((len(self.zone_names) + 1, 256), -1, np.int16)
        for number, group in enumerate(self.members):
            for cell in group.cells:
                table[cell.zone, cell.value] = number

        def of(window: Window, image: np.ndarray) -> np.ndarray:
            return np.asarray(table[zones.of(window)[0] if zones else NO_ZONE, image])

        return of

    def strata(self, counts: Counts, inclusion: float | None) -> tuple[Stratum, ...]:
        """The strata. inclusion: Probability of a pixel of a systematic sample; None where points are drawn."""
        columns = self.members, self.pixels.tolist(), self.area_ha.tolist(), counts.tolist()
        return tuple(
            Stratum(
                key=self.key_of(group),
                name=self._name(group),
                pixels=pixels,
                area_ha=area_ha,
                n=n,
                inclusion=n / pixels if inclusion is None else inclusion,
                zone=self._zone(group),
            )
            for group, pixels, area_ha, n in zip(*columns, strict=True)
        )

    def key_of(self, group: Group) -> str:
        """The key of a stratum."""
        if self._whole:
            return WHOLE
        values = "+".join(str(value) for value in group.values)
        return f"{self._zone(group) or ''}/{values}" if self.zone_names else values

    def _name(self, group: Group) -> str:
        if self._whole:
            return WHOLE
        names = {item.value: item.name for item in self.frame.classes}
        classes = " + ".join(names[value] for value in group.values)
        if not self.zone_names:
            return classes
        return f"{OUTSIDE if group.zone == NO_ZONE else self.zone_names[group.zone - 1][1]}: {classes}"

    def notes(self) -> Iterator[Note]:
        """What was merged."""
        if not self._whole and (merged := [self._called(cell) for cell in merged_away(self.members)]):
            detail = f"Too small for strata of their own, and merged with others: {first_few(merged)}."
            hint = (
                f"With fewer than {LEAST_PIXELS} pixels, one point that nobody can label would leave nothing to "
                "estimate from."
            )
            yield Note(code="merged_strata", detail=detail[:500], hint=hint)

    def _called(self, cell: Cell) -> str:
        name = next(item.name for item in self.frame.classes if item.value == cell.value)
        place = "" if cell.zone == NO_ZONE else f"{self.zone_names[cell.zone - 1][1]}: "
        return f"{place}{name} ({cell.pixels})"

    def expected(self, counts: Counts) -> tuple[Expected, ...]:
        """The expected precision of the area of each class, on all ground and in each zone; empty if not known."""
        if self.share is None:
            return ()
        rows = self._rows(None, np.arange(len(counts)), counts)
        return (*rows, *(row for zone, strata in self.by_zone.items() for row in self._rows(zone, strata, counts)))

    def _rows(self, zone: str | None, strata: NDArray[np.int64], counts: Counts) -> Iterator[Expected]:
        area, error = self._expected(strata, counts[strata])
        for item, ha, se in zip(self.frame.classes, area.tolist(), error.tolist(), strict=True):
            yield Expected(class_name=item.name, estimated_ha=ha, se_ha=se, cv=se / ha if ha > 0 else None, zone=zone)


def _by_class(frame: Frame) -> tuple[Cell, ...]:
    known = [item.value for item in frame.classes]
    pixels = {(NO_ZONE, value): frame.class_pixels[value] for value in known}
    return cells_of(pixels, {(NO_ZONE, value): frame.class_area_ha[value] for value in known})
