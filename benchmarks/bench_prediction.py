"""Compares canemap with other ways to map a whole scene, with the same weights, each in a separate process.

    python benchmarks/bench_prediction.py [--size 2048] [--width 32] [--rounds 3] [--only canemap FTW-like] [--quick]

Times include reading, normalising, computing and writing the map. The table also has the share of pixels that differ
from the map that the net makes of the whole image at once.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.child import Measured, in_child
from benchmarks.contenders import CONTENDERS, WHOLE, make_model, predict
from benchmarks.side_by_side import show

DEPTH = 4
COLUMNS = ("", "s", "Mpx/s", "times canemap's s", "peak MB", "start-up s", "other pixels, ppm")


@dataclass(frozen=True)
class Result:
    """Medians of a contender's rounds; other_ppm: see `benchmarks.peers.whole`."""

    seconds: float
    peak_mb: float
    start_up_s: float
    other_ppm: float


def main() -> None:
    """Measure all contenders and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        scene, model = prepare(Path(folder), options.size, options.width)
        results = in_turns(options.only, scene, model, Path(folder), options.rounds)
    title = f"{options.size} x {options.size} x 4 px, U-Net of width {options.width}, depth {DEPTH}"
    show(title, COLUMNS, rows(results, options.size**2 / 1e6))


def prepare(folder: Path, size: int, width: int) -> tuple[Path, Path]:
    """Make in `folder` a scene, a model, and the ONNX file that a user of Deepness exports; the first two paths."""
    scene = folder / "scene.tif"
    in_child("benchmarks.inputs", "make_scene", {"path": str(scene), "size": size})
    model = make_model(scene, folder, width, DEPTH)
    in_child("benchmarks.peers.deepness_export", "export", {"model": str(model)})
    return scene, model


def in_turns(names: Sequence[str], scene: Path, model: Path, folder: Path, rounds: int) -> dict[str, Result]:
    """Let all contenders predict once in each round, so that a busy machine slows all of them alike."""
    reference = predict(WHOLE, scene, model, folder).value
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, done in runs.items():
            done.append(predict(CONTENDERS[name], scene, model, folder))
    return {name: _result(done, reference) for name, done in runs.items()}


def rows(results: Mapping[str, Result], mpx: float) -> list[tuple[object, ...]]:
    """Rows of the table, one for each contender."""
    own = results["canemap"].seconds if "canemap" in results else None
    return [
        (
            name,
            each.seconds,
            mpx / each.seconds,
            each.seconds / own if own else "-",
            round(each.peak_mb),
            each.start_up_s,
            round(each.other_ppm),
        )
        for name, each in results.items()
    ]


def _result(runs: Sequence[Measured], reference: str) -> Result:
    maps = {"reference": reference, "map_": runs[0].value}
    return Result(
        seconds=statistics.median(run.seconds for run in runs),
        peak_mb=statistics.median(run.peak_mb for run in runs),
        start_up_s=statistics.median(run.start_up_s for run in runs),
        other_ppm=in_child("benchmarks.peers.whole", "difference_ppm", maps).value,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="side of the scene in pixels")
    parser.add_argument("--width", type=int, default=32, help="channels of the net's first level")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="CONTENDER")
    parser.add_argument("--quick", action="store_true", help="one round, 640 px, width 16")
    options = parser.parse_args()
    if options.quick:
        # not 512: of a scene as large as a chip TorchGeo's grid may be empty, by the rounding of coordinates
        options.size, options.width, options.rounds = 640, 16, 1
    return options


if __name__ == "__main__":
    main()
