"""Compare variants of a training: the metrics of each variant over its seeds, and intervals of their differences."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.estimation.student import t_quantile
from ml.evaluation.metrics import BlockCounts, Counts, Floats, Metrics, metrics_of
from ml.frozen import Frozen
from ml.text import first_few

Compared = Literal["accuracy", "iou", "kappa"]
COMPARED: tuple[Compared, ...] = get_args(Compared)
LEAST_SEEDS = 3  # two trainings hardly show how trainings vary: their interval would look decisive by chance
FEW_SCENES = 6  # from which on scenes are drawn; of fewer, blocks
_CHUNK = 100  # resamples computed at once, which limits the memory


class ScoredTraining(Frozen):
    """One training of a variant, scored on one split.

    blocks: Counts of blocks by scene, as in `ml.evaluation.assessment.Assessment`.
    """

    variant: str
    seed: int
    metrics: Metrics
    blocks: dict[str, tuple[BlockCounts, ...]] = Field(default_factory=dict)


class Spread(Frozen):
    """Mean and standard deviation of a metric over trainings.

    sd: Standard deviation with the divisor n - 1, or None for a single training. Both fields are None if the metric is
    undefined for any of the trainings.
    """

    mean: float | None
    sd: float | None


class VariantRow(Frozen):
    """One variant: the spread of each metric of `Metrics` over its trainings. runs: Number of these trainings."""

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


METRICS = tuple(name for name, field in VariantRow.model_fields.items() if field.annotation is Spread)


class Difference(Frozen):
    """How much more of `metric` variant `a` has than the baseline `b`.

    mean: Mean difference over the seeds that both variants have; None if it is undefined. ci95: 95 % interval of the
    mean difference. share_positive: Share of the resamples in which `a` is ahead, 0 to 1. Both are None if they are
    undefined, and for fewer than three seeds.
    paired_seeds: Number of seeds that both variants have. statement: The difference as text for people.
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
    """The comparison of all variants.

    table: One row for each variant, in the order of their first trainings. differences: Differences of each other
    variant from the first. notes: Limits of these differences, for people.
    """

    table: tuple[VariantRow, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(
    scored: Sequence[ScoredTraining], *, split: str = "test", seed: int = 0, resamples: int = 2000
) -> Comparison:
    """Compare variants on one split; the variant of the first training is the baseline.

    The interval reaches from the mean difference over the seeds that both variants have to each side by the root of the
    sum of two squares. The first is t standard errors of the ground, which come from a paired bootstrap: whole scenes
    are drawn with replacement, the same for every training, since the errors of one scene are not independent and a
    hard scene is hard for all trainings; of fewer than six scenes, blocks are drawn. The second is t standard errors of
    the seeds: of the mean of the differences of the single seeds. Each t has one degree of freedom less than there are
    scenes or blocks, or seeds. One t for the sum, with Satterthwaite's degrees of freedom, is too small where the seeds
    happen to be alike. Resamples in which the metric is undefined are left out. `benchmarks/comparison_coverage.py`
    measures how often the interval holds the true difference. `share_positive` is counted over resamples of scenes or
    blocks and of seeds.

    Raises:
        ValueError: Two trainings have the same variant and seed, or trainings were scored on different blocks.
    """
    placed = _by_variant_and_seed(scored)
    blocks, scene_of_block = _aligned(scored)
    counts = _by_unit(blocks, scene_of_block)
    rng = np.random.default_rng(seed)
    resampled = _resampled_metrics(counts, resamples, rng)
    differences: list[Difference] = []
    notes = [*_ground_notes(len(counts), len(set(scene_of_block)))]
    for a, b in [(later, next(iter(placed))) for later in list(placed)[1:]]:
        pairs = [(placed[a][s], placed[b][s]) for s in sorted(placed[a].keys() & placed[b].keys())]
        drawn = rng.integers(max(1, len(pairs)), size=(resamples, len(pairs)))
        for metric in COMPARED:
            observed = [
                _minus(getattr(scored[i].metrics, metric), getattr(scored[j].metrics, metric)) for i, j in pairs
            ]
            ground = _means(resampled[metric], pairs)
            ahead = _drawn_means(resampled[metric], pairs, drawn)
            differences.append(_difference(a, b, metric, observed, ground, len(counts), ahead))
            notes += _undefined_notes(differences[-1], 1 - len(ground) / resamples)
        notes += _seed_notes(a, b, len(pairs))
    table = tuple(_row(name, split, [scored[i].metrics for i in of.values()]) for name, of in placed.items())
    return Comparison(table=table, differences=tuple(differences), notes=tuple(notes))


def failure_notes(planned: Sequence[tuple[str, int]], compared: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Notes about trainings that are missing from a comparison, because they failed.

    planned, compared: Variant and seed of each training that was planned, and of each that was compared.
    """
    failed = [f"{variant} with seed {seed}" for variant, seed in planned if (variant, seed) not in set(compared)]
    if not failed:
        return ()
    notes = [f"{len(failed)} of {len(planned)} trainings failed and are left out: {first_few(failed)}."]
    if compared and compared[0][0] != planned[0][0]:
        notes.append(f"No training of {planned[0][0]} succeeded: the others are compared with {compared[0][0]}.")
    return tuple(notes)


def _by_variant_and_seed(scored: Sequence[ScoredTraining]) -> dict[str, dict[int, int]]:
    """Indices of `scored` by variant and seed; the variants are in the order of their first trainings."""
    placed: dict[str, dict[int, int]] = {}
    for index, training in enumerate(scored):
        if placed.setdefault(training.variant, {}).setdefault(training.seed, index) != index:
            raise ValueError(f"variant {training.variant!r} has two trainings of seed {training.seed}")
    return placed


def _aligned(scored: Sequence[ScoredTraining]) -> tuple[Counts, list[str]]:
    """The blocks of all trainings, shape (blocks, trainings, classes, classes), and the scene of each block.

    They are in the order of the first training.
    """
    by_place = [{(s, b.row, b.col): b.confusion for s, of in each.blocks.items() for b in of} for each in scored]
    places = by_place[0].keys() if by_place else ()
    if any(blocks.keys() != places for blocks in by_place):
        raise ValueError("the trainings were scored on different blocks: compare trainings on one split only")
    if not places:
        return np.zeros((0, len(scored), 2, 2), dtype=np.int64), []
    counts = np.array([[blocks[place] for blocks in by_place] for place in places], dtype=np.int64)
    truth = counts.sum(axis=-1)
    if (truth != truth[:, :1]).any():
        raise ValueError("the trainings were scored on different labels: compare trainings on one split only")
    return counts, [scene for scene, _, _ in places]


def _by_unit(counts: Counts, scene_of_block: Sequence[str]) -> Counts:
    """The counts of the units that are drawn: those of the scenes, or of the blocks if there are few scenes."""
    scenes = list(dict.fromkeys(scene_of_block))
    if len(scenes) < FEW_SCENES:
        return counts
    found = np.zeros((len(scenes), *counts.shape[1:]), counts.dtype)
    np.add.at(found, [scenes.index(scene) for scene in scene_of_block], counts)
    return found


def _resampled_metrics(counts: Counts, resamples: int, rng: np.random.Generator) -> dict[str, Floats]:
    """The compared metrics by name, each of shape (resamples, trainings), NaN where undefined.

    counts: Pixels, shape (units, trainings, classes, classes). With fewer than two units, all metrics are NaN.
    """
    blocks, *shape = counts.shape
    found: dict[str, Floats] = {name: np.full((resamples, shape[0]), np.nan) for name in COMPARED}
    if blocks < 2:
        return found
    flat = counts.reshape(blocks, -1).astype(np.float64)  # exact for these counts, and BLAS has no product of integers
    for start in range(0, resamples, _CHUNK):
        draws = rng.integers(blocks, size=(min(_CHUNK, resamples - start), blocks))
        often = np.stack([np.bincount(draw, minlength=blocks) for draw in draws]).astype(np.float64)
        drawn = metrics_of((often @ flat).reshape(len(draws), *shape))
        for name in COMPARED:
            found[name][start : start + len(draws)] = drawn[name]
    return found


def _means(resampled: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """The mean difference over all pairs in each resample, without those where it is undefined.

    resampled, pairs: As for `_drawn_means`.
    """
    if not pairs:
        return np.empty(0)
    a, b = np.transpose(pairs)
    means: Floats = (resampled[:, a] - resampled[:, b]).mean(axis=1)
    return means[~np.isnan(means)]


def _drawn_means(resampled: Floats, pairs: Sequence[tuple[int, int]], drawn: NDArray[np.int64]) -> Floats:
    """The mean difference over the drawn pairs in each resample, without those where it is undefined.

    resampled: Metric, shape (resamples, trainings). pairs: Indices of the trainings of a and of b with one seed. drawn:
    Indices into `pairs`, shape (resamples, pairs).
    """
    if not pairs:
        return np.empty(0)
    a, b = np.transpose(pairs)
    means: Floats = np.take_along_axis(resampled[:, a] - resampled[:, b], drawn, axis=1).mean(axis=1)
    return means[~np.isnan(means)]


def _difference(
    a: str,
    b: str,
    metric: Compared,
    observed: Sequence[float | None],
    ground: Floats,
    units: int,
    resampled: Floats,
) -> Difference:
    """The difference of one metric.

    observed: Difference of each pair of trainings. ground: Mean difference in each resample of the ground. units:
    Number of scenes or blocks that were drawn. resampled: Mean difference in each resample of ground and seeds. Both
    are without NaN.
    """
    mean = _spread(observed).mean
    ci95 = share = None
    if mean is not None and len(ground) > 1 and len(resampled) and len(observed) >= LEAST_SEEDS:
        reach = _reach(np.array(observed, np.float64), ground, units)
        ci95, share = (mean - reach, mean + reach), float(np.mean(resampled > 0))
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


def _reach(observed: Floats, ground: Floats, units: int) -> float:
    """How far a 95 % interval extends to each side of the mean difference. The arguments are those of `_difference`."""
    # drawing n units with replacement shows (n - 1) / n of their variance
    of_ground = t_quantile(units - 1) ** 2 * float(ground.var()) * units / (units - 1)
    of_seeds = t_quantile(len(observed) - 1) ** 2 * float(observed.var(ddof=1)) / len(observed)
    return math.sqrt(of_ground + of_seeds)


def in_points(mean: float | None, ci95: tuple[float, float] | None) -> str:
    """A difference in points, which are hundredths: "+2.25 points [0.40, 4.10]", the 95 % interval in brackets."""
    if mean is None:
        return "an unknown difference"
    interval = f"[{100 * ci95[0]:.2f}, {100 * ci95[1]:.2f}]" if ci95 else "[no interval]"
    return f"{100 * mean:+.2f} points {interval}"


def _ground_notes(units: int, scenes: int) -> Iterator[str]:
    if units < 2:
        yield "Fewer than two blocks were scored: there is no interval."
    elif scenes < FEW_SCENES:
        yield "Fewer than six scenes were scored: the intervals are for this ground, and too narrow for other ground."


def _seed_notes(a: str, b: str, seeds: int) -> list[str]:
    if seeds == 0:
        return [f"{a} and {b} have no seed in common: they cannot be paired."]
    if seeds < LEAST_SEEDS:
        common = "one seed" if seeds == 1 else f"{seeds} seeds"
        return [f"{a} and {b} have {common} in common: for an interval there must be {LEAST_SEEDS} at least."]
    return []


def _undefined_notes(found: Difference, undefined: float) -> list[str]:
    """A note for an interval that was made without some resamples; undefined: Share of the resamples without it."""
    if found.ci95 is None or not undefined:
        return []
    share = f"{100 * undefined:.1f} %"
    return [f"{found.a} and {found.b}: {found.metric} is undefined in {share} of the resamples, which are left out."]


def _row(variant: str, split: str, metrics: Sequence[Metrics]) -> VariantRow:
    spreads = {name: _spread([getattr(each, name) for each in metrics]) for name in METRICS}
    return VariantRow(variant=variant, split=split, runs=len(metrics), **spreads)


def _spread(values: Sequence[float | None]) -> Spread:
    """The mean and the standard deviation of `values`; both are None if any value is None or there are no values."""
    defined = [value for value in values if value is not None]
    if not values or len(defined) < len(values):
        return Spread(mean=None, sd=None)
    return Spread(mean=float(np.mean(defined)), sd=float(np.std(defined, ddof=1)) if len(defined) > 1 else None)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
