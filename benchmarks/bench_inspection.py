"""Measures what it costs to read an upload in a child process: the same inspections, in this process and in children.

    python benchmarks/bench_inspection.py [--rounds 30]

Both take turns; the table has medians. The first inspection of each is not counted. The time of computing hardly
depends on what else the machine does; it is the mean of the rounds, for a child with its fork and its end.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.inspection import landlock
from app.inspection.inspector import SERVER, Inspector
from app.inspection.limits import Limits
from app.settings import Settings
from benchmarks.bench_api import make_scene, peak_mb
from benchmarks.side_by_side import medians, show
from ml.labels.classes import LabelOptions
from ml.labels.inspect import inspect_labels
from ml.scenes.inspect import inspect_scene

SQUARE = ((105.0, 23.0), (105.001, 23.0), (105.001, 23.001), (105.0, 23.0))
PLOTS = 2000
ROUNDS = 5  # with --quick


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    settings = Settings()
    limits = Limits(memory_bytes=settings.inspection_memory_bytes, core_s=settings.inspection_s)
    inspector, rows = Inspector(limits, wait_s=60), []
    with tempfile.TemporaryDirectory() as folder:
        for name, (here, there) in inspections(Path(folder), inspector).items():
            found = medians({"here": here, "child": there}, rounds=ROUNDS if options.quick else options.rounds)
            computed = [computing_ms(each, ROUNDS if options.quick else options.rounds) for each in (here, there)]
            rows.append((name, 1e3 * found["here"], 1e3 * found["child"], *computed))
    columns = ("what", "in this process, ms", "in a child, ms", "computing here, ms", "in a child, ms")
    show("An inspection", columns, rows)
    if SERVER.process is not None:
        found_version = landlock.version() or "none"
        show("Their server", ("peak MB", "Landlock"), [(peak_mb(SERVER.process.pid), found_version)])


def computing_ms(inspect: Callable[[], object], rounds: int) -> float:
    """Milliseconds on a core that an inspection takes in this process, in the server and in the child."""
    before = core_s()
    for _ in range(rounds):
        inspect()
    return 1e3 * (core_s() - before) / rounds


def core_s() -> float:
    """Seconds on a core that this process, the server and all children that have ended have taken."""
    assert SERVER.process is not None
    numbers = Path(f"/proc/{SERVER.process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return time.process_time() + sum(map(int, numbers)) / os.sysconf("SC_CLK_TCK")


def inspections(folder: Path, inspector: Inspector) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """By name: functions that inspect the same file in this process and in a child."""
    small, large = make_scene(folder / "small.tif", 1), make_scene(folder / "large.tif", 400)
    labels, anything = plots(folder / "plots.geojson"), LabelOptions()
    return {
        "scene of 1 MB": (lambda: inspect_scene(small), lambda: inspector.scene(small, bands=None, nodata=None)),
        "scene of 400 MB": (lambda: inspect_scene(large), lambda: inspector.scene(large, bands=None, nodata=None)),
        f"{PLOTS} polygons": (lambda: inspect_labels(labels, anything), lambda: inspector.labels(labels, anything)),
    }


def plots(path: Path) -> Path:
    """A GeoJSON file of small triangles that do not touch."""
    rings = ([(x + 0.002 * number, y) for x, y in SQUARE] for number in range(PLOTS))
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


if __name__ == "__main__":
    main()
