"""A forked child goes on with what the libraries of its parent have open, and disturbs neither parent nor siblings."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pyproj import Transformer

ZONES = range(32601, 32661)
COMMON = """
import json, os, random, sys
from app.inspection.forking import fork

def in_children(work, count):
    "What `work` returns in each of some children that run at the same time."
    pipes = []
    for number in range(count):
        read, write = os.pipe()
        if fork() == 0:
            os.write(write, json.dumps(work(number)).encode())
            os._exit(0)
        os.close(write)
        pipes.append(read)
    return [json.loads(open(pipe).read()) for pipe in pipes]

"""


def answered(script: str, *arguments: object) -> object:
    """What a script prints, as JSON; it runs in a process of its own, which has one thread."""
    frugal = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMON + script, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | frugal, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_children_read_one_database_at_once_and_find_what_the_parent_would() -> None:
    script = """
from pyproj import Transformer
Transformer.from_crs(4326, 32748, always_xy=True).transform(105, -3)
def work(number):
    codes = json.loads(sys.argv[1])[number::8]
    return {code: Transformer.from_crs(4326, code, always_xy=True).transform(3, 50) for code in codes}
print(json.dumps(in_children(work, 8)))
"""
    found = answered(script, json.dumps(list(ZONES)))
    assert isinstance(found, list)
    expected = {str(zone): list(Transformer.from_crs(4326, zone, always_xy=True).transform(3, 50)) for zone in ZONES}
    assert {code: point for part in found for code, point in part.items()} == expected


def test_a_child_does_not_move_the_place_at_which_its_parent_reads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    script = """
file = open(sys.argv[1], "rb", buffering=0)
file.read(2)
children = in_children(lambda number: file.seek(5 + number) and file.read(1).decode(), 3)
print(json.dumps([children, file.read(1).decode()]))
"""
    assert answered(script, path) == [["5", "6", "7"], "2"]


def test_children_draw_different_random_numbers() -> None:
    found = answered("print(json.dumps(in_children(lambda _: random.random(), 3)))")
    assert isinstance(found, list)
    assert len(set(found)) == 3


def test_a_child_that_cannot_be_made_is_an_error() -> None:
    script = """
import resource
if os.getuid() == 0:  # root has no such limit
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    print(json.dumps(fork()))
except BlockingIOError as error:
    print(json.dumps(str(error)))
"""
    assert "unavailable" in str(answered(script))
