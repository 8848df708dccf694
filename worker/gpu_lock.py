"""A lock for each GPU of a machine, so that no two workers sit on one GPU without knowing."""

import fcntl
import os
from pathlib import Path


class GpuLock:
    """The lock of a GPU, which a worker holds until it ends, however it ends.

    held: Whether this worker has it. other: Who has it otherwise, as far as known.
    """

    def __init__(self, folder: Path, gpu: str, holder: str) -> None:
        """Try to take the lock of a GPU.

        folder: For the locks, shared by the workers of the machine. gpu: UUID. holder: This worker, in words.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / gpu, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.held, self.other = True, ""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.held, self.other = False, os.pread(self._file, 200, 0).decode(errors="replace") or "another worker"
        else:
            os.truncate(self._file, 0)
            os.pwrite(self._file, holder.encode(), 0)
