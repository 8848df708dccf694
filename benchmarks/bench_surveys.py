"""Measures a survey: the memory of its mosaic, the time by part, and a host of two that is killed in the middle.

    python benchmarks/bench_surveys.py [--scenes 1000] [--size 256] [--width 8] [--maps 100,1000] [--quick]

Scenes lie side by side, share a tenth of their side with each neighbour, and half of them lie in each of two zones of
UTM. Hosts are those of bench_workers.py: they share PostgreSQL, Redis and an S3 bucket, and the cores of one machine.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.client import Survey
from benchmarks.bench_workers import Stack, destroy, ended, machine, service, wait_for
from benchmarks.child import in_child
from benchmarks.contenders import make_model
from benchmarks.side_by_side import show

DEPTH = 2


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        memory(Path(folder), options.maps, options.size)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as stack:
        survey(stack, options.scenes, options.size, options.width)


def memory(folder: Path, counts: Sequence[int], size: int) -> None:
    """Make mosaics of maps without a service, and print what they take."""
    rows = []
    in_child("benchmarks.survey_data", "make_maps", {"folder": str(folder), "count": max(counts), "size": size})
    for count in counts:
        made = in_child("benchmarks.survey_data", "mosaic_of", {"folder": str(folder), "count": count})
        rows.append((count, made.value["pixels"] / 1e6, made.seconds, made.peak_mb))
    show(f"Mosaics of maps of {size} x {size} px", ("maps", "Mpx", "s", "MB"), rows)


def survey(stack: Stack, count: int, size: int, width: int) -> None:
    """Map scenes as one with two hosts, of which one is killed, and print the time of each part."""
    times = {"upload": _upload(stack, count, size)}
    stack.client.import_model("net", make_model(stack.folder / "s0.tif", stack.folder, width, DEPTH))
    hosts = [
        machine(f"host-{number}", ["worker", "--with-parent"], stack.folder, stack.environment) for number in (1, 2)
    ]
    for host in hosts:
        host.start()
    try:
        wait_for(lambda: all(b"worker ready" in host.log.read_bytes() for host in hosts))
        start = time.monotonic()
        made = stack.client.survey([f"s{number}" for number in range(count)], model="net:1")
        times["request"] = time.monotonic() - start
        wait_for(lambda: _done(made) >= count // 2)
        times["first half of the maps, two hosts"] = time.monotonic() - start - times["request"]
        destroy(hosts[0])
        killed = time.monotonic()
        wait_for(lambda: _done(made) >= count)
        times["second half, one host after a kill"] = time.monotonic() - killed
        mapped = time.monotonic()
        wait_for(lambda: ended(stack, made.id))
        times["mosaic"] = time.monotonic() - mapped
    finally:
        for host in hosts:
            host.end(signal.SIGKILL)
    again = sum(stack.client.job(row["prediction"])["attempt"] - 1 for row in made.scenes())
    show(f"A survey of {count} scenes of {size} x {size} px", ("part", "s"), times.items())
    mosaic = made.refresh().document["mosaic"]
    print(
        f"{mosaic['rows']} x {mosaic['cols']} px, {mosaic['observed_ha']:.1f} ha observed; {again} jobs were done again"
    )


def _upload(stack: Stack, count: int, size: int) -> float:
    in_child("benchmarks.survey_data", "make_scenes", {"folder": str(stack.folder), "count": count, "size": size})
    start = time.monotonic()
    for number in range(count):
        day = f"2024-10-{1 + number % 28:02}T{number // 28 % 24:02}:00:00Z"
        stack.client.upload_scene(stack.folder / f"s{number}.tif", acquired=day)
    return time.monotonic() - start


def _done(made: Survey) -> int:
    """How many scenes of a survey are mapped."""
    return int(made.client.job(made.id)["done"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1000, help="number of scenes")
    parser.add_argument("--size", type=int, default=256, help="side of a scene in pixels")
    parser.add_argument("--width", type=int, default=8, help="channels of the U-Net's first level")
    parser.add_argument("--maps", default="100,1000", help="numbers of maps of the mosaics whose memory is measured")
    parser.add_argument("--quick", action="store_true", help="12 scenes, and mosaics of 4 and 16 maps")
    options = parser.parse_args()
    if options.quick:
        options.scenes, options.maps = 12, "4,16"
    options.maps = [int(number) for number in options.maps.split(",")]
    return options


if __name__ == "__main__":
    main()
