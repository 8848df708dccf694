"""How often 95 % intervals cover the truth, on provinces whose true area is known.

    python -m benchmarks.coverage [--draws 2000]

Three synthetic provinces of 160,000 pixels: with much sugarcane and a good map, with less and a fair map, and with rare
sugarcane and a poor map. Fields, errors and probabilities are clustered. From each, samples of 400 points (or 50
clusters of 16) are drawn by each design. The area of sugarcane is estimated from the sample alone, and with the map's
probability as auxiliary. A second table is of 16 zones of 0.8 to 12 % of a province, from samples of each design, and
from samples with 30 points of each class in each zone.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.estimation.estimate import estimate
from ml.estimation.ratio import ratio
from ml.estimation.regression import regression
from ml.estimation.rows import Method
from ml.estimation.sample import Design, Points, Sample, Strata
from ml.estimation.values import Estimate
from ml.estimation.zones import Zones

SIDE = 400
POINTS = 400
CLUSTERS, CLUSTER_SIDE = 50, 4
ZONE_EDGES = (120, 210, 280, 330, 360, 380, 392)  # columns at which zones end
ZONES = 2 * (len(ZONE_EDGES) + 1)
EACH = 30  # points of each class in each zone
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Province:
    """A province of SIDE x SIDE pixels of one hectare.

    truth, mapped: 1 where a pixel is sugarcane, and is mapped as it, shape (SIDE * SIDE,). probability: That of the
    map, of the same shape.
    """

    name: str
    truth: Integers
    mapped: Integers
    probability: Floats


def provinces() -> tuple[Province, ...]:
    """The provinces, whose names say their share of sugarcane and how good the map is."""
    return (
        _province("35 %, good map", 0.35, 0.35, seed=1),
        _province("12 %, fair map", 0.12, 0.5, seed=2),
        _province("5 %, poor map", 0.05, 0.8, seed=3),
    )


def _province(name: str, share: float, noise: float, seed: int) -> Province:
    rng = np.random.default_rng(seed)
    crop = _smooth(rng, 6) + 0.7 * _smooth(rng, 60)
    seen = crop + noise * _smooth(rng, 4) + 0.3 * noise * _smooth(rng, 50)
    threshold, seen_as = np.quantile(crop, 1 - share), np.quantile(seen, 1 - share)
    margin = (seen - seen_as) / noise
    return Province(
        name,
        (crop > threshold).astype(np.int64).ravel(),
        (seen > seen_as).astype(np.int64).ravel(),
        (1 / (1 + np.exp(-2 * margin))).ravel(),
    )


def _smooth(rng: np.random.Generator, pixels: float) -> Floats:
    """Noise with mean 0 and variance 1 whose neighbouring pixels are alike, over about so many pixels."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * np.exp(-((pixels * frequency) ** 2) * 2)
    noise: Floats = np.fft.irfft2(spectrum, (SIDE, SIDE))
    noise -= noise.mean()
    noise /= noise.std()
    return noise


Drawn = tuple[Strata, Integers, Integers, Integers | None]  # strata, pixels, their strata, their clusters


def draw_random(province: Province, rng: np.random.Generator) -> Drawn:
    """A simple random sample."""
    return _whole(SIDE**2), rng.choice(SIDE**2, POINTS, replace=False), np.zeros(POINTS, dtype=np.int64), None


def draw_stratified(province: Province, rng: np.random.Generator) -> Drawn:
    """As many points of each class of the map."""
    pixels = [np.flatnonzero(province.mapped == k) for k in (0, 1)]
    sizes = np.array([float(len(of_class)) for of_class in pixels])
    chosen = np.concatenate([rng.choice(of_class, POINTS // 2, replace=False) for of_class in pixels])
    return Strata(("other", "cane"), sizes, sizes), chosen, np.repeat([0, 1], POINTS // 2), None


def draw_systematic(province: Province, rng: np.random.Generator) -> Drawn:
    """A grid with a random start."""
    step = SIDE // int(POINTS**0.5)
    rows, cols = (np.arange(start, SIDE, step) for start in rng.integers(step, size=2))
    return _whole(SIDE**2), (rows[:, None] * SIDE + cols).ravel(), np.zeros(POINTS, dtype=np.int64), None


def draw_cluster(province: Province, rng: np.random.Generator) -> Drawn:
    """Squares of pixels, drawn at random from a grid of them."""
    across = SIDE // CLUSTER_SIDE
    row, col = np.divmod(rng.choice(across**2, CLUSTERS, replace=False), across)
    inside = np.arange(CLUSTER_SIDE)
    rows = (row * CLUSTER_SIDE)[:, None, None] + inside[:, None]
    pixels = rows * SIDE + (col * CLUSTER_SIDE)[:, None, None] + inside
    each = CLUSTER_SIDE**2
    return (
        _whole(across**2),
        pixels.ravel(),
        np.zeros(CLUSTERS * each, dtype=np.int64),
        np.repeat(np.arange(CLUSTERS), each),
    )


def _whole(units: int) -> Strata:
    return Strata(("all",), np.array([float(SIDE**2)]), np.array([float(units)]))


DESIGNS: Mapping[Design, Callable[[Province, np.random.Generator], Drawn]] = {
    "random": draw_random,
    "stratified": draw_stratified,
    "systematic": draw_systematic,
    "cluster": draw_cluster,
}


@dataclass(frozen=True)
class Coverage:
    """Of many samples: the share of 95 % intervals that cover the truth, and their mean half width by the truth.

    The bias is that of the mean estimate, by the truth.
    """

    covered: float
    half_width: float
    bias: float


def covered(province: Province, design: Design, draws: int, seed: int = 0) -> tuple[Coverage, Coverage]:
    """The coverage of the intervals from the samples alone, and of those with the map's probability as auxiliary."""
    rng = np.random.default_rng(seed)
    plain, helped = [], []
    for _ in range(draws):
        strata, pixels, stratum, cluster = DESIGNS[design](province, rng)
        truly, probability = province.truth[pixels].astype(float), province.probability[pixels]
        sample = Sample(
            design, strata, Points(stratum, province.mapped[pixels], province.truth[pixels], cluster=cluster)
        )
        plain.append(ratio(sample, truly, np.ones(len(truly))).scaled(strata.whole_ha))
        total = float(province.probability.sum())
        helped.append(regression(sample, truly, probability, total, strata.whole_ha))
    return _coverage(plain, float(province.truth.sum())), _coverage(helped, float(province.truth.sum()))


def _coverage(estimates: list[Estimate], truth: float) -> Coverage:
    intervals = np.array([one.ci95 for one in estimates])
    values = np.array([one.value for one in estimates])
    return Coverage(
        covered=float(np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))),
        half_width=float(np.mean(intervals[:, 1] - intervals[:, 0])) / 2 / truth,
        bias=float(values.mean() / truth - 1),
    )


def zone_of_pixels() -> Integers:
    """The zone of each pixel. Zones have unequal widths."""
    row, col = np.divmod(np.arange(SIDE**2), SIDE)
    return np.asarray(2 * np.searchsorted(ZONE_EDGES, col, side="right") + row // (SIDE // 2))


def draw_by_zone(province: Province, rng: np.random.Generator) -> Drawn:
    """As many points of each class in each zone."""
    stratum = 2 * zone_of_pixels() + province.mapped
    pixels = [np.flatnonzero(stratum == number) for number in range(2 * ZONES)]
    sizes = np.array([float(len(each)) for each in pixels])
    counts = [min(EACH, len(each)) for each in pixels]
    chosen = [rng.choice(each, count, replace=False) for each, count in zip(pixels, counts, strict=True)]
    names = tuple(str(number) for number in range(2 * ZONES))
    return Strata(names, sizes, sizes), np.concatenate(chosen), np.repeat(np.arange(2 * ZONES), counts), None


def zones_covered(
    province: Province, draws: int, seed: int = 0, design: Design | None = "stratified"
) -> dict[Method, Coverage]:
    """The coverage of the intervals of zones, by the method of their estimates; half widths and biases are of one zone.

    design: None for strata of each class in each zone; the strata of all others lie across the zones.
    """
    draw = draw_by_zone if design is None else DESIGNS[design]
    strata_of = np.arange(2 * ZONES) // 2 == np.arange(ZONES)[:, None] if design is None else None
    rng = np.random.default_rng(seed)
    zone = zone_of_pixels()
    pixels = np.stack([np.bincount(zone, of_class) for of_class in (1 - province.mapped, province.mapped)], axis=1)
    truth = np.bincount(zone, province.truth)
    found: dict[Method, list[tuple[bool, float, float]]] = {}
    for _ in range(draws):
        strata, chosen, stratum, cluster = draw(province, rng)
        points = Points(stratum, province.mapped[chosen], province.truth[chosen], zone[chosen], cluster)
        zones = Zones(pixels.astype(float), strata=strata_of)
        rows = estimate(Sample(design or "stratified", strata, points), 2, zones=zones).rows
        for area in rows:
            if area.zone is not None and area.class_index == 1 and area.area.ci95 and area.area.value is not None:
                (low, high), true = area.area.ci95, float(truth[area.zone])
                figures = low <= true <= high, (high - low) / 2 / true, area.area.value / true - 1
                found.setdefault(area.method, []).append(figures)
    return {method: Coverage(*(float(mean) for mean in np.mean(figures, axis=0))) for method, figures in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    print("| province | design | covered | half width | covered, with the map | half width, with the map |")
    print("|---|---|---|---|---|---|")
    for province in provinces():
        for design in DESIGNS:
            print(f"| {province.name} | {design} | {' | '.join(map(_cells, covered(province, design, draws)))} |")
    print("\n| province | design | estimates of zones | covered | half width |\n|---|---|---|---|---|")
    for province in provinces():
        for drawn in (*DESIGNS, None):
            for method, coverage in zones_covered(province, draws // 10, design=drawn).items():
                print(f"| {province.name} | {drawn or 'class in zone'} | {method} | {_cells(coverage)} |")


def _cells(coverage: Coverage) -> str:
    return f"{100 * coverage.covered:.1f} % | ±{100 * coverage.half_width:.1f} %"


if __name__ == "__main__":
    main()
