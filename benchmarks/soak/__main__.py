"""Tests that no accepted job is lost or done twice: thousands of jobs, hundreds of kills, and a history checker.

    python -m benchmarks.soak [--embedded] [--jobs 5000] [--kills 300] [--seed 1] [--minutes 180]
        [--only BLOW ...] [--out FILE]

The soak uses real processes and a real PostgreSQL and Redis, or with `--embedded` SQLite and plain files. It prints a
table and writes the whole report as JSON. When a promise was broken, it ends with exit code 1 and keeps data and logs.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from random import randrange
from typing import Any

from benchmarks.side_by_side import show
from benchmarks.soak.run import Plan, soak

WORST = 20  # how many violations to print


def main() -> None:
    """Run a soak and print its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=300, help="number of blows: kills, freezes, restarts")
    parser.add_argument("--seed", type=int, default=randrange(10**6), help="seed of all random choices")
    parser.add_argument(
        "--minutes", type=float, default=180, help="minutes after which no new orders and no blows come"
    )
    parser.add_argument("--embedded", action="store_true", help="use SQLite and plain files")
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="BLOW", help="only blows of these names, e.g. all_killed"
    )
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"))
    arguments = parser.parse_args()
    plan = Plan(
        *(arguments.jobs, arguments.kills, arguments.seed, arguments.embedded, arguments.minutes),
        only=tuple(arguments.only),
    )
    print(f"seed {plan.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    report = soak(plan, folder, lambda line: print(line, flush=True))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1))
    _print(report)
    if report["violations"] or report["strange_answers"]:
        sys.exit(f"Promises were broken; data and logs are in {folder}")
    shutil.rmtree(folder)


def _print(report: dict[str, Any]) -> None:
    counts = {name: report[name] for name in ("acknowledged", "worker_lost", "minutes")}
    counts |= {"died by themselves": len(report["died_by_themselves"])}
    counts |= {"violations": len(report["violations"]), "strange answers": len(report["strange_answers"])}
    counts |= {"jobs per second": report["jobs_per_s"], **report["messages"], **report["ended"], **report["blows"]}
    show("Soak", ("what", "count"), counts.items())
    measured = [
        (name, *("-" if each is None else each for each in found.values())) for name, found in report["figures"].items()
    ]
    show("Measurements", ("what", "count", "p50", "p99", "max"), measured)
    for line in (report["violations"] + report["strange_answers"])[:WORST]:
        print(line)


if __name__ == "__main__":
    main()
