"""The command line of a worker: `python -m worker --queues training,prediction,light`."""

from app.core import calm_start  # noqa: F401

# isort: split

import argparse

from app.core.startup import private_files
from app.jobs.kinds import QUEUES
from app.operations.supervise import die_with_parent
from app.settings import Settings
from worker.main import run

parser = argparse.ArgumentParser(prog="canemap worker", description="Do the jobs of some queues.")
parser.add_argument("--queues", default=",".join(QUEUES), help=f"names of queues, comma-separated: {', '.join(QUEUES)}")
parser.add_argument("--with-parent", action="store_true", help="stop when standard input is closed")
arguments = parser.parse_args()
chosen = arguments.queues.split(",")
if unknown := set(chosen) - set(QUEUES):
    parser.error(f"unknown queues: {', '.join(sorted(unknown))}; the queues are {', '.join(QUEUES)}")
if arguments.with_parent:
    die_with_parent()
private_files()
run(Settings(), chosen)
