"""What the hectares of a province would take, computed from measured rates. Nothing of it was run at that size.

    python -m benchmarks.province [--gpx 371]

Each part has been measured on one core with a map of some million pixels, and is taken to grow with the number of
pixels. Prints a table as Markdown.
"""

import argparse
from dataclasses import dataclass

SCENE_MPX = 400  # of 20,000 x 20,000 px


@dataclass(frozen=True)
class Part:
    """A measured part.

    seconds: Of one core for `mpx` million pixels. memory_mb: Of a process, if it was measured. disk_mb: Of results.
    """

    name: str
    mpx: float
    seconds: float
    memory_mb: int | None
    disk_mb: float
    source: str


PARTS = (
    Part("areas by zone, 100 counties", 400, 13.1, 214, 0.0, "`bench_zones.py --size 20000`"),
    Part("drawing samples, strata by class", 16.8, 0.79, 192, 0.0, "one map of 4,096 x 4,096 px, time of the core"),
    Part("polygons with `mmu_ha`, GeoPackage", 16.8, 1.9, None, 1.0, "decision 56: 1 % of noise"),
    Part("mosaic of a survey", 55, 158, 302, 0.0, "`bench_surveys.py`: 1,000 small maps, at a load of 15 to 50"),
)


def row(part: Part, gpx: float) -> str:
    """The line of the table for a part and a province of `gpx` billion pixels."""
    times = 1000 * gpx / part.mpx
    disk = f"{times * part.disk_mb / 1000:,.0f} GB" if part.disk_mb else "-"
    rate = part.mpx / part.seconds
    memory = f"{part.memory_mb} MB" if part.memory_mb else "-"
    hours = times * part.seconds / 3600
    return f"| {part.name} | {rate:,.1f} Mpx/s | {hours:,.1f} h | {memory} | {disk} | {part.source} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpx", type=float, default=371, help="billion pixels of the province")
    gpx = parser.parse_args().gpx
    print(f"{gpx:,.0f} billion pixels in {1000 * gpx / SCENE_MPX:,.0f} scenes of {SCENE_MPX} Mpx\n")
    print("| part | measured rate | one core | memory of a process | disk | measured by |\n|---|---|---|---|---|---|")
    for part in PARTS:
        print(row(part, gpx))


if __name__ == "__main__":
    main()
