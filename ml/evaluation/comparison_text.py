"""Write a comparison as text: CSV for spreadsheets, Markdown for people."""

import csv
import io
from collections.abc import Iterator, Sequence

from ml.csv_text import plain_cells
from ml.evaluation.comparison import COMPARED, METRICS, Comparison, Difference, Spread, in_points


def as_csv(comparison: Comparison) -> str:
    """A CSV with one line for each variant: mean and sd of each metric, then its differences from the baseline.

    Each difference has its 95 % interval. Undefined values and the differences of the baseline itself are empty.
    Metrics are shares, 0 to 1, and not percent.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spreads = [f"{name}_{part}" for name in METRICS for part in ("mean", "sd")]
    differences = [f"{name}_difference{part}" for name in COMPARED for part in ("", "_low", "_high")]
    writer.writerow(["variant", "split", "runs", *spreads, "baseline", "paired_seeds", *differences])
    for row in comparison.table:
        means = [value for name in METRICS for value in _spread(getattr(row, name))]
        of_row = {found.metric: found for found in comparison.differences if found.a == row.variant}
        paired = next(iter(of_row.values()), None)
        pairing = [paired.b, paired.paired_seeds] if paired else [None, None]
        against = [value for name in COMPARED for value in _difference(of_row.get(name))]
        writer.writerow(plain_cells([row.variant, row.split, row.runs, *means, *pairing, *against]))
    return out.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Two tables, of variants (mean ± sd) and of differences in points (hundredths, 95 % intervals), and the notes."""
    titles = ["variant", "split", *(name.replace("_", " ") for name in METRICS), "runs"]
    rows = [
        [row.variant, row.split, *(_shown(getattr(row, name)) for name in METRICS), str(row.runs)]
        for row in comparison.table
    ]
    parts = ["\n".join(_table(titles, rows))]
    if comparison.differences:
        against = [
            [found.a, found.b, found.metric, in_points(found.mean, found.ci95), str(found.paired_seeds)]
            for found in comparison.differences
        ]
        parts.append("\n".join(_table(["a", "b", "metric", "a against b [95 %]", "paired seeds"], against)))
    if comparison.notes:
        parts.append("\n".join(f"* {_escaped(note)}" for note in comparison.notes))
    return "\n\n".join(parts) + "\n"


def _spread(spread: Spread) -> tuple[float | None, float | None]:
    return spread.mean, spread.sd


def _difference(found: Difference | None) -> tuple[float | None, ...]:
    if found is None:
        return None, None, None
    return found.mean, *(found.ci95 or (None, None))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (titles, ["---"] * len(titles), *rows):
        yield f"| {' | '.join(map(_escaped, cells))} |"


def _shown(spread: Spread) -> str:
    if spread.mean is None:
        return "-"
    return f"{spread.mean:.4f}" + (f" ± {spread.sd:.4f}" if spread.sd is not None else "")


def _escaped(text: str) -> str:
    """The text with the special characters of Markdown escaped, since "ce+0.5*lovasz" is a name and not emphasis."""
    return "".join(f"\\{mark}" if mark in "\\|*_`<" else mark for mark in text)
