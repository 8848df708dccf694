"""The script that checks a machine's GPU, on a machine without one."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_checks_that_a_cpu_can_answer_are_answered_and_the_others_skipped() -> None:
    only = ("convolutions", "starves", "memory beside", "normalised", "speed")
    command = [sys.executable, "benchmarks/gpu_check.py", "--json", "--device", "cpu", "--only", *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {frozenset(each) for each in found} == {frozenset(("check", "verdict", "figure", "expected"))}
    skipped = {each["check"] for each in found if each["verdict"] == "skipped"}
    assert skipped == {"speed of the net alone", "speed of a scene of 8192 px"}
    assert {each["verdict"] for each in found if each["check"] not in skipped} == {"pass"}
    assert any("depth 4: 18" in each["figure"] for each in found)
