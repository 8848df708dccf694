"""What a process of a job writes down when a signal ends it: where each of its threads was.

A process that crashed in the reader of a scene or of labels would crash again with the same file, so its job fails and
names the file. Any other death says nothing about the job.
"""

import faulthandler
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml.faults import Fault
from ml.progress import Progress

CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT}
ASK = signal.SIGABRT  # the signal on which a process that hangs says where it is; then it ends
ASK_S = 2.0
_MOST_BYTES = 1 << 20
_READERS = re.compile(r'File ".*/ml/(scenes|labels)/\w+\.py"')
_HINT = "The file is damaged, or was made to do harm. Export it again, if possible with another program."


def path_in(folder: Path, attempt: int) -> Path:
    """The path of the report of an attempt. folder: that of the job, which all attempts share."""
    return folder / f"crash-{attempt}"


def begin(path: Path) -> None:
    """Have this process write its report to `path` if one of the signals of a crash ends it."""
    with suppress(OSError):  # a full disk: then nobody learns where it was
        faulthandler.enable(path.open("wb"), all_threads=True)


def reading_fault(path: Path, progress: Progress | None, ended: str, *, hung: bool) -> Fault | None:
    """The fault of the file that a process was reading when it ended, if its report at `path` says that it was.

    progress: Its last report of progress, which names the file. ended: How it ended, as the end of a sentence. hung:
        Whether it was ended because it made no progress: then any thread may have been the one that read.
    """
    text = ""
    with suppress(OSError), path.open(errors="replace") as file:
        text = file.read(_MOST_BYTES)
    stacks = [*_stacks(text)]
    if progress is None or not any(_READERS.search(stack) for stack in (stacks if hung else stacks[:1])):
        return None
    where = f"In stage {progress.stage!r}" + (f", {progress.file}" if progress.file else "")
    return Fault("inspection_limit", f"{where}: reading the files of the job {ended}.", _HINT)


def _stacks(text: str) -> Iterator[str]:
    """The frames of each thread; first those of the thread that crashed, if it ran Python, else nothing."""
    blocks = re.split(r"\n\n", text)
    current = [block for block in blocks if block.lstrip().startswith("Current thread")]
    yield current[0] if current else ""
    yield from (block for block in blocks if block.lstrip().startswith("Thread"))
