"""Compares the prediction of two checkouts of canemap, which map the same scene in turns, pair by pair.

    python benchmarks/two_checkouts.py BEFORE [AFTER] [--size 2048] [--width 32] [--rounds 7]

BEFORE and AFTER are folders; AFTER is by default the checkout of this script. Each is run by the Python of its `.venv`,
or by the Python of this script if it has none. An additional first round is not counted.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.child import ROOT, Measured, in_child
from benchmarks.contenders import AS_IN_A_JOB, make_model
from benchmarks.side_by_side import show

DEPTH = 4
COLUMNS = ("", "s", "s of each round", "peak MB", "start-up s")


def main() -> None:
    """Measure and print the table, the ratio of the pairs, and how many pixels differ."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        in_child("benchmarks.inputs", "make_scene", {"path": str(scene), "size": options.size})
        model = make_model(scene, Path(folder), options.width, DEPTH)
        before, after = pairs((options.before, options.after), scene, model, Path(folder), options.rounds)
        maps = {"reference": before[0].value, "map_": after[0].value}
        other_ppm = in_child("benchmarks.peers.whole", "difference_ppm", maps).value
    show(f"{options.size} px, width {options.width}", COLUMNS, [_row("before", before), _row("after", after)])
    ratios = [new.seconds / old.seconds for old, new in zip(before, after, strict=True)]
    rounded = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    print(f"after / before: median {statistics.median(ratios):.3f} of {rounded}; other pixels: {other_ppm:.0f} ppm")


def pairs(checkouts: Sequence[Path], scene: Path, model: Path, folder: Path, rounds: int) -> Sequence[list[Measured]]:
    """The results of each checkout; in every other pair the second checkout is first."""
    runs: list[list[Measured]] = [[] for _ in checkouts]
    for count in range(rounds + 1):
        turns = [*zip(checkouts, runs, strict=True)][:: 1 if count % 2 else -1]
        for checkout, done in turns:
            done.append(_predict(checkout, scene, model, folder))
    return [done[1:] for done in runs]


def _predict(checkout: Path, scene: Path, model: Path, folder: Path) -> Measured:
    call = {"scene": str(scene), "model": str(model), "out": tempfile.mkdtemp(dir=folder)}
    own = checkout / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    return in_child("benchmarks.peers.canemap", "predict", call, environment=AS_IN_A_JOB, root=checkout, python=python)


def _row(name: str, runs: Sequence[Measured]) -> tuple[object, ...]:
    def median(of: Callable[[Measured], float]) -> float:
        return statistics.median(map(of, runs))

    each = ", ".join(f"{run.seconds:.2f}" for run in runs)
    peak_mb = round(median(lambda run: run.peak_mb))
    return name, median(lambda run: run.seconds), each, peak_mb, median(lambda run: run.start_up_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--size", type=int, default=2048, help="side of the scene in pixels")
    parser.add_argument("--width", type=int, default=32, help="channels of the net's first level")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    options.before, options.after = options.before.resolve(), options.after.resolve()
    return options


if __name__ == "__main__":
    main()
