"""Compares canemap with exactextract and rasterstats: hectares of two classes in 100 zones of a map.

    python benchmarks/bench_zones.py [--size 5000] [--rounds 3] [--quick]

The zones are counties that tile the map and share their borders. The peers do what a user would do with the downloaded
files: reproject the zones to the map, and turn shares of pixels into hectares by the size of a pixel. rasterstats
counts whole pixels. "off" is the largest error of a county's hectares against its geodesic polygon, as a share.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.child import Measured, in_child
from benchmarks.side_by_side import show

CONTENDERS = {"canemap": "canemap_zones", "exactextract": "exactextract_zones", "rasterstats": "rasterstats_zones"}
COLUMNS = ("", "s", "times canemap's s", "peak MB", "off")


def main() -> None:
    """Measure all contenders and print the table."""
    options = _options()
    runs: dict[str, list[Measured]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        map_, zones = Path(folder, "map.tif"), Path(folder, "zones.geojson")
        in_child("benchmarks.zone_data", "make_map", {"path": str(map_), "size": options.size})
        made = {"map_": str(map_), "path": str(zones), "number": 100}
        areas = in_child("benchmarks.zone_data", "make_zones", made).value
        for _ in range(options.rounds):
            for name, module in CONTENDERS.items():
                arguments = {"map_": str(map_), "zones": str(zones)}
                runs[name].append(in_child(f"benchmarks.peers.{module}", "hectares", arguments))
    seconds = {name: statistics.median(run.seconds for run in done) for name, done in runs.items()}
    rows = [
        (
            name,
            each,
            each / seconds["canemap"],
            round(max(run.peak_mb for run in runs[name])),
            f"{_off(runs[name][0].value, areas):.1e}",
        )
        for name, each in seconds.items()
    ]
    show(f"{options.size} x {options.size} px, {len(areas)} zones", COLUMNS, rows)


def _off(found: dict[str, float], areas: dict[str, float]) -> float:
    return max(abs(found[code] / area_ha - 1) for code, area_ha in areas.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=5000, help="side of the map in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, 1000 px")
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 1000, 1
    return options


if __name__ == "__main__":
    main()
