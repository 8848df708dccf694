"""Troubles of the machine of a worker, which it is given by the storm. The fork server of such a worker imports this.

The errors are those that the libraries raise there: torch's own, and those of the store and of the disk.
"""

import errno
import os
from pathlib import Path
from typing import NoReturn

from app.core.errors import StoreAway
from app.services import Services
from worker import attempt
from worker.context import JobContext

TROUBLE = "SOAK_TROUBLE"


def _gpu_fails() -> NoReturn:
    import torch

    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def _store_refuses() -> NoReturn:
    raise StoreAway("store-away", "An error occurred (403) when calling the GetObject operation: Forbidden")


def _disk_is_full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


TROUBLES = {"gpu": _gpu_fails, "store": _store_refuses, "disk": _disk_is_full}


def _meet_trouble(services: Services, context: JobContext, folder: Path) -> NoReturn:
    TROUBLES[os.environ[TROUBLE]]()


if os.environ.get(TROUBLE) in TROUBLES:
    vars(attempt)["WORK"] = dict.fromkeys(attempt.WORK, _meet_trouble)
