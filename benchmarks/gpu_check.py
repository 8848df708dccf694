"""Checks on one machine what canemap promises on a GPU: a line and a verdict for each check, in under 8 minutes.

    python benchmarks/gpu_check.py [--json] [--device cuda] [--only convolutions memory]

Checks that a CPU can answer, too, run on machines without a GPU; the others are skipped there. The exit code is 1 if a
check fails. `docs/gpu.md` says what each check is for.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.gpu import driver, jobs, ranks, scenes, streams, training
from benchmarks.gpu.check import Check, Finding, Machine

CHECKS: tuple[Check, ...] = (
    *driver.CHECKS,
    *streams.CHECKS,
    *scenes.CHECKS,
    *training.CHECKS,
    *jobs.CHECKS,
    *ranks.CHECKS,
)


def main() -> int:
    """Run the checks, report each, and return the exit code."""
    options = _options()
    torch.set_num_threads(1)  # as in the benchmarks: other processes may use the other cores
    chosen = [check for check in CHECKS if not options.only or any(word in check.name for word in options.only)]
    findings = [_run(check, torch.device(options.device), told=not options.json) for check in chosen]
    if options.json:
        print(json.dumps([finding.document() for finding in findings], indent=1))
    return int(any(finding.verdict == "fail" for finding in findings))


def _run(check: Check, device: torch.device, *, told: bool) -> Finding:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        finding = check.finding(Machine(device, Path(folder)))
    if told:
        seconds = time.monotonic() - start
        print(f"{finding.verdict:7} {check.name}: {finding.figure} (expected: {check.expected}; {seconds:.1f} s)")
    return finding


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of lines")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="run the checks whose names have one of these words")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device, help="where to compute")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
