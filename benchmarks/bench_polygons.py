"""Compares canemap with rasterio and GeoPandas: a class map becomes GeoJSON and GeoPackage with hectares.

    python benchmarks/bench_polygons.py [--size 2048] [--rounds 3] [--quick]

The map is noisy, with a patch of the class for every three hundred pixels. The contenders take turns. The last line is
canemap with outlines simplified by SIMPLIFY_M metres, about two pixels.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.child import Measured, in_child
from benchmarks.side_by_side import show

SIMPLIFY_M = 2
CONTENDERS: dict[str, tuple[str, dict[str, object]]] = {
    "canemap": ("canemap_polygons", {}),
    "rasterio, GeoPandas": ("geopandas_polygons", {}),
    f"canemap, simplify_m {SIMPLIFY_M}": ("canemap_polygons", {"simplify_m": SIMPLIFY_M}),
}
COLUMNS = ("", "s", "times canemap's s", "peak MB", "polygons", "MB of GeoJSON")


def main() -> None:
    """Measure all contenders and print the table."""
    options = _options()
    runs: dict[str, list[Measured]] = {name: [] for name in CONTENDERS}
    written_mb = {}
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder) / "classes.tif"
        in_child("benchmarks.inputs", "make_class_map", {"path": str(classes), "size": options.size})
        for _ in range(options.rounds):
            for name, (module, more) in CONTENDERS.items():
                out = tempfile.mkdtemp(dir=folder)
                arguments = {"classes": str(classes), "out": out, **more}
                runs[name].append(in_child(f"benchmarks.peers.{module}", "polygons", arguments))
                written_mb[name] = round(Path(out, "polygons.geojson").stat().st_size / 1e6, 1)
    seconds = {name: statistics.median(run.seconds for run in done) for name, done in runs.items()}
    peak = {name: max(run.peak_mb for run in done) for name, done in runs.items()}
    rows = [
        (name, each, each / seconds["canemap"], round(peak[name]), runs[name][0].value, written_mb[name])
        for name, each in seconds.items()
    ]
    show(f"{options.size} x {options.size} px", COLUMNS, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="side of the map in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, 640 px")
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 640, 1
    return options


if __name__ == "__main__":
    main()
