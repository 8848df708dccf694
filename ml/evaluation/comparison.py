"""Variants of a training compared: each one's figures over its seeds, and whether a difference is more than luck."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.evaluation.metrics import BlockCounts, Counts, Floats, Metrics, figures
from ml.frozen import Frozen

Compared = Literal["accuracy", "iou", "kappa"]
COMPARED: tuple[Compared, ...] = get_args(Compared)
FEW_SEEDS = 5  # resampling n runs shows (n - 1) / n of their variance
_CHUNK = 100  # resamples at once: bounds the memory, whatever the number of blocks


class ScoredTraining(Frozen):
    """One training of a variant, scored on one split. blocks: by scene, as in `ml.evaluation.assessment.Assessment`."""

    variant: str
    seed: int
    metrics: Metrics
    blocks: dict[str, tuple[BlockCounts, ...]] = Field(default_factory=dict)


class Spread(Frozen):
    """A figure over runs. sd: with n - 1, None of a single run. Both are None if the figure is undefined in any run."""

    mean: float | None
    sd: float | None


class VariantRow(Frozen):
    """One variant: the spread of each figure of `Metrics` over its runs, and how many runs these are."""

    variant: str
    split: str
    accuracy: Spread
    iou: Spread
    kappa: Spread
    precision: Spread
    recall: Spread
    f1: Spread
    omission: Spread
    commission: Spread
    boundary_iou: Spread
    runs: int


FIGURES = tuple(name for name, field in VariantRow.model_fields.items() if field.annotation is Spread)


class Difference(Frozen):
    """What variant `a` has more of `metric` than the baseline `b`.

    mean: over the seeds that both have. ci95: 95 % interval of it. share_positive: share of the resamples in which `a`
    is ahead. Each is None where it cannot be had. paired_seeds: how many both have. statement: all this for people.
    """

    a: str
    b: str
    metric: Compared
    mean: float | None
    ci95: tuple[float, float] | None
    share_positive: float | None
    paired_seeds: int
    statement: str


class Comparison(Frozen):
    """table: variants in the order they came. differences: each later one against the first. notes: their limits."""

    table: tuple[VariantRow, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[ScoredTraining], *, split: str = "test", seed: int = 0, resamples: int = 2000) -> Comparison:
    """Compare variants on one split; the first run's variant is the baseline.

    The interval is a paired bootstrap: whole blocks are drawn with replacement, the same for every run, since
    neighbouring pixels err together and a hard block is hard for all; then the seeds that both variants have are drawn
    with replacement. Each drawn run's blocks are pooled into one confusion, and the difference is the mean over the
    drawn seeds. Percentiles 2.5 and 97.5 over `resamples`, without those in which the metric is undefined.

    Raises:
        ValueError: two runs of one variant and seed, or runs that were scored on different blocks.
    """
    placed = _by_variant_and_seed(runs)
    counts = _aligned(runs)
    rng = np.random.default_rng(seed)
    resampled = _resampled_figures(counts, resamples, rng)
    differences: list[Difference] = []
    notes = ["Fewer than two blocks were scored: there is no interval."] if len(counts) < 2 else []
    for a, b in [(later, next(iter(placed))) for later in list(placed)[1:]]:
        pairs = [(placed[a][s], placed[b][s]) for s in sorted(placed[a].keys() & placed[b].keys())]
        drawn = rng.integers(max(1, len(pairs)), size=(resamples, len(pairs)))
        for metric in COMPARED:
            observed = [_minus(getattr(runs[i].metrics, metric), getattr(runs[j].metrics, metric)) for i, j in pairs]
            ahead = _drawn_means(resampled[metric], pairs, drawn)
            differences.append(_difference(a, b, metric, observed, ahead))
        notes += _seed_notes(a, b, len(pairs))
    table = tuple(_row(name, split, [runs[i].metrics for i in of.values()]) for name, of in placed.items())
    return Comparison(table=table, differences=tuple(differences), notes=tuple(notes))


def _by_variant_and_seed(runs: Sequence[ScoredTraining]) -> dict[str, dict[int, int]]:
    """Where in `runs` each variant's runs are, by seed; variants in the order they came."""
    placed: dict[str, dict[int, int]] = {}
    for index, run in enumerate(runs):
        if placed.setdefault(run.variant, {}).setdefault(run.seed, index) != index:
            raise ValueError(f"variant {run.variant!r} has two runs of seed {run.seed}")
    return placed


def _aligned(runs: Sequence[ScoredTraining]) -> Counts:
    """The blocks of all runs, shape (blocks, runs, classes, classes), every run's in the order of the first's."""
    by_place = [{(s, b.row, b.col): b.confusion for s, of in run.blocks.items() for b in of} for run in runs]
    places = by_place[0].keys() if by_place else ()
    if any(blocks.keys() != places for blocks in by_place):
        raise ValueError("the runs were scored on different blocks: only runs on one split can be compared")
    if not places:
        return np.zeros((0, len(runs), 2, 2), dtype=np.int64)
    counts = np.array([[blocks[place] for blocks in by_place] for place in places], dtype=np.int64)
    truth = counts.sum(axis=-1)
    if (truth != truth[:, :1]).any():
        raise ValueError("the runs were scored against different labels: only runs on one split can be compared")
    return counts


def _resampled_figures(counts: Counts, resamples: int, rng: np.random.Generator) -> dict[str, Floats]:
    """The compared figures of each run over each draw of blocks: (resamples, runs) each, NaN where undefined.

    counts: (blocks, runs, classes, classes). With fewer than two blocks there is nothing to draw: all NaN.
    """
    blocks, *shape = counts.shape
    found: dict[str, Floats] = {name: np.full((resamples, shape[0]), np.nan) for name in COMPARED}
    if blocks < 2:
        return found
    flat = counts.reshape(blocks, -1).astype(np.float64)  # exact, and BLAS multiplies no integers
    for start in range(0, resamples, _CHUNK):
        draws = rng.integers(blocks, size=(min(_CHUNK, resamples - start), blocks))
        often = np.stack([np.bincount(draw, minlength=blocks) for draw in draws]).astype(np.float64)
        drawn = figures((often @ flat).reshape(len(draws), *shape))
        for name in COMPARED:
            found[name][start : start + len(draws)] = drawn[name]
    return found


def _drawn_means(resampled: Floats, pairs: Sequence[tuple[int, int]], drawn: NDArray[np.int64]) -> Floats:
    """The mean difference over the drawn pairs in each resample, without those where it is undefined.

    resampled: (resamples, runs). drawn: (resamples, pairs), indices into `pairs` of (run of a, run of b).
    """
    if not pairs:
        return np.empty(0)
    a, b = np.transpose(pairs)
    means: Floats = np.take_along_axis(resampled[:, a] - resampled[:, b], drawn, axis=1).mean(axis=1)
    return means[~np.isnan(means)]


def _difference(a: str, b: str, metric: Compared, observed: Sequence[float | None], resampled: Floats) -> Difference:
    """observed: of each pair. resampled: means over pairs, none of them NaN."""
    mean = _spread(observed).mean
    ci95 = share = None
    if mean is not None and len(resampled) > 0:
        low, high = np.percentile(resampled, [2.5, 97.5])
        ci95, share = (float(low), float(high)), float(np.mean(resampled > 0))
    return Difference(
        a=a,
        b=b,
        metric=metric,
        mean=mean,
        ci95=ci95,
        share_positive=share,
        paired_seeds=len(observed),
        statement=f"{a} against {b}: {in_points(mean, ci95)} of {metric}",
    )


def in_points(mean: float | None, ci95: tuple[float, float] | None) -> str:
    """A difference in points, which are hundredths: "+2.25 points [0.40, 4.10]", the 95 % interval in brackets."""
    if mean is None:
        return "an unknown difference"
    interval = f"[{100 * ci95[0]:.2f}, {100 * ci95[1]:.2f}]" if ci95 else "[no interval]"
    return f"{100 * mean:+.2f} points {interval}"


def _seed_notes(a: str, b: str, seeds: int) -> list[str]:
    if seeds == 0:
        return [f"{a} and {b} have no seed in common: they cannot be paired."]
    if seeds == 1:
        return [f"{a} and {b} have one seed in common: the interval knows how blocks differ, not how runs do."]
    if seeds < FEW_SEEDS:
        return [f"{a} and {b} have {seeds} seeds in common: so few leave the interval somewhat too narrow."]
    return []


def _row(variant: str, split: str, metrics: Sequence[Metrics]) -> VariantRow:
    spreads = {name: _spread([getattr(run, name) for run in metrics]) for name in FIGURES}
    return VariantRow(variant=variant, split=split, runs=len(metrics), **spreads)


def _spread(values: Sequence[float | None]) -> Spread:
    defined = [value for value in values if value is not None]
    if not values or len(defined) < len(values):
        return Spread(mean=None, sd=None)
    return Spread(mean=float(np.mean(defined)), sd=float(np.std(defined, ddof=1)) if len(defined) > 1 else None)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
