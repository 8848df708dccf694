"""Measures how time and memory of a prediction grow with the scene, with a net that takes little of the time.

    python benchmarks/bench_scale.py [--max-size 16384] [--rounds 1] [--width 4] [--only canemap]
        [--figure PATH] [--quick]

The side of the scene doubles from 2048 px; peers run up to 8192 px. Each scene repeats one square of noise. The time
outside the net is the whole time less the time in calls of the net.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.child import Measured, in_child
from benchmarks.contenders import CONTENDERS, make_model, predict
from benchmarks.side_by_side import show

DEPTH = 4
FIRST_PX, PEERS_UP_TO_PX = 2048, 8192
NAMES = ("canemap", "naive loop, 512 + 64", "MONAI sliding window, gaussian", "TorchGeo grid sampler")
COLUMNS = ("", "s", "Mpx/s", "s outside the net", "times canemap's", "peak MB")


@dataclass(frozen=True)
class Point:
    """Medians of one contender on one scene. outside_s: Seconds outside the net; None if no call of a net was seen."""

    name: str
    size: int
    seconds: float
    outside_s: float | None
    peak_mb: float


def main() -> None:
    """Measure, print the tables, and draw the figure if `--figure` is given."""
    options = _options()
    points: list[Point] = []
    for size in sizes(options.max_size):
        found = measured(size, options.width, options.rounds, options.only)
        show(f"{size} x {size} x 4 px, U-Net of width {options.width}, depth {DEPTH}", COLUMNS, rows(found))
        points += found
    if options.figure:
        drawn = {"points": [asdict(point) for point in points], "path": str(options.figure.resolve())}
        in_child("benchmarks.scale_figure", "draw", drawn)


def sizes(largest: int) -> Iterator[int]:
    """Sides of the scenes, in pixels."""
    size = FIRST_PX
    while size <= largest:
        yield size
        size *= 2


def measured(size: int, width: int, rounds: int, names: Sequence[str]) -> list[Point]:
    """Points of the contenders in `names` that run at this size, on a scene that is deleted afterwards."""
    runs: dict[str, list[Measured]] = {name: [] for name in names if name == "canemap" or size <= PEERS_UP_TO_PX}
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        in_child("benchmarks.inputs", "make_repeated_scene", {"path": str(scene), "size": size})
        model = make_model(scene, Path(folder), width, DEPTH)
        for _ in range(rounds):
            for name, done in runs.items():
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    done.append(predict(CONTENDERS[name], scene, model, Path(out), net_clock=True))
    return [_point(name, size, done) for name, done in runs.items()]


def rows(points: Sequence[Point]) -> Iterator[tuple[object, ...]]:
    """Rows of the table of one size; the point of canemap is the first."""
    own = points[0].outside_s
    for point in points:
        speed, outside = point.size**2 / 1e6 / point.seconds, point.outside_s
        times = outside / own if outside and own else "-"
        yield point.name, point.seconds, speed, outside or "-", times, round(point.peak_mb)


def _point(name: str, size: int, runs: list[Measured]) -> Point:
    outside = [run.seconds - run.net_s for run in runs if run.net_s is not None]
    return Point(
        name=name,
        size=size,
        seconds=statistics.median(run.seconds for run in runs),
        outside_s=statistics.median(outside) if outside else None,
        peak_mb=statistics.median(run.peak_mb for run in runs),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-size", type=int, default=16384, help="side of the largest scene in pixels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--width", type=int, default=4, help="channels of the net's first level")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="CONTENDER")
    parser.add_argument("--figure", type=Path, help="file for the figure, docs/figures/scale.svg for instance")
    parser.add_argument("--quick", action="store_true", help="up to 4096 px")
    options = parser.parse_args()
    if options.quick:
        options.max_size = min(options.max_size, 4096)
    return options


if __name__ == "__main__":
    main()
