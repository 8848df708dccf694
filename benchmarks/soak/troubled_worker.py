"""A worker in trouble: `SOAK_TROUBLE=older|gpu|store|disk python -m benchmarks.soak.troubled_worker --with-parent`."""

import os
import runpy

from app.jobs import kinds
from benchmarks.soak.troubles import TROUBLE
from worker import process

if os.environ[TROUBLE] == "older":
    kinds.PROTOCOL -= 1  # it knows nothing of what the others ask for
process._IMPORTED = (*process._IMPORTED, "benchmarks.soak.troubles")  # type: ignore[assignment]  # in its fork server
runpy.run_module("worker", run_name="__main__", alter_sys=True)
