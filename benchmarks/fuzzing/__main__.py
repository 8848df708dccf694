"""Sends mutated files to a service over HTTP, and counts what it answers: no death, no 5xx, nothing slow.

    python -m benchmarks.fuzzing [--opens N] [--seed N] [--corpus FOLDER] [--failures FOLDER]

The mutations are structured: tags, directories and chains of TIFFs, headers and rows of Shapefiles, the directory of a
zip, SQL and WKB of GeoPackages, values and depth of GeoJSON. Files whose answer was new become parents of further ones;
with `--corpus` they are kept for later runs. Every accepted scene is also downloaded, which rewrites it as a COG.
The exit status is 1 if the service died, answered 5xx, or took over 2 s. Such files stay in the folder `failures`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import httpx

from benchmarks.bench_api import peak_mb, service
from benchmarks.fuzzing.attack import Tally, attack, probing
from benchmarks.fuzzing.corpus import Corpus
from benchmarks.side_by_side import show

SLOW_S = 2.0


def main() -> int:
    """Run the attack and print the table; the exit status of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opens", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="folder that parents are read from and added to")
    parser.add_argument("--failures", type=Path, default=Path("failures"))
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder), "") as (base, process):
        before = peak_mb(process)
        with probing(base) as health:
            tallies = attack(base, corpus, opens=arguments.opens, seed=arguments.seed, failures=arguments.failures)
        httpx.get(f"{base}/healthz").raise_for_status()
        peak = peak_mb(process)
    report(tallies, corpus)
    show("The service", ("/healthz at most, s", "MB before", "at most"), [(max(health), before, peak)])
    slow = max(tally.slowest_s for tally in tallies.values()) > SLOW_S
    return int(slow or any(tally.errors for tally in tallies.values()))


def report(tallies: dict[str, Tally], corpus: Corpus) -> None:
    """Print a table with a row for each kind of file, and the first errors."""
    columns = ("kind", "opens", "accepted", "refused", "by a limit", "by a crash", "5xx", "slowest s")
    rows = [
        (
            kind,
            each.opens,
            each.accepted,
            each.refused,
            each.limited - each.crashed,
            each.crashed,
            len(each.errors),
            each.slowest_s,
        )
        for kind, each in tallies.items()
    ]
    show(f"Mutated files; {corpus.answers} different answers", columns, rows)
    for kind, each in tallies.items():
        for error in each.errors[:20]:
            print(kind, error)


if __name__ == "__main__":
    sys.exit(main())
