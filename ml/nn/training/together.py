"""A training by several processes that this process forks: one for each GPU that it was given.

The processes are the ranks of `ml.nn.training.ranks`. This process passes on the progress of rank 0 and the wish to
stop, and waits. If a rank dies, the others are killed, and this process ends like the rank that died, so that whoever
supervises it sees the death; a later attempt resumes at the last epoch that was saved.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import distributed as dist

from ml.config import TrainConfig
from ml.data import TrainingData
from ml.nn.training.background import Newest
from ml.nn.training.forgetting import EarlierSplit
from ml.nn.training.ranks import connected
from ml.nn.training.train import TrainResult, train
from ml.progress import Progress, Stopped, Watch, silent

STOP_S = 30.0  # in which the ranks must meet to stop; then they are killed
_fork = get_context("fork")
Train = Callable[..., TrainResult]


class RankFailed(RuntimeError):
    """A rank ended with an error that cannot be passed on; its text says which."""


def processes_for(config: TrainConfig, given: int) -> int:
    """Return how many of `given` processes can train by `config`: the most among whom a batch is divided equally."""
    if config.compile:
        return 1
    return max(count for count in range(1, max(given, 1) + 1) if config.batch_size % count == 0)


def train_together(
    count: int,
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    watch: Watch = silent,
    init: Path | None = None,
    saved: Callable[[], None] = lambda: None,
    earlier: Sequence[EarlierSplit] = (),
) -> TrainResult:
    """Train as `train` does, with `count` processes that share each batch; for one process it is `train`.

    This process must not have used a GPU, and must have no threads that work.

    Raises:
        What `train` raises, on any rank. `saved` is called in this process.
    """
    if count == 1:
        return train(config, data, out, watch, init=init, saved=saved, earlier=earlier)
    with tempfile.TemporaryDirectory(dir=out, prefix="meeting-") as folder:
        work, ranks = partial(train, config, data, out, init=init, earlier=earlier), list[_Rank]()
        try:
            for number in range(count):
                ranks.append(_Rank(number, count, Path(folder) / "store", work))
            with Newest("store") as newest:
                return _Meeting(ranks, watch, partial(newest.submit, partial(_answer_saved, ranks[0], saved))).result()
        finally:
            for rank in ranks:
                rank.end()


def _answer_saved(first: "_Rank", saved: Callable[[], None]) -> None:
    saved()
    with suppress(OSError):  # it has been killed
        first.saves.send(True)


class _Rank:
    """A rank, as the process sees it that forks it.

    number: Number of the rank, from 0.
    connection: Receives `Progress` and, at the end, the result or the exception; sends whether to stop.
    saves: Receives that the state was saved; sends when what follows has been done.
    process: The process of the rank.
    """

    def __init__(self, number: int, count: int, store: Path, work: Train) -> None:
        self.number = number
        # Made one rank after the other: a rank that had the end of a later one would keep it open after its death.
        self.connection, its_end = _fork.Pipe()
        self.saves, its_saves = _fork.Pipe()
        self.process = _fork.Process(target=_serve, args=(number, count, store, work, its_end, its_saves))
        self.process.start()
        its_end.close()
        its_saves.close()

    def end(self) -> None:
        """Kill the process if it is still there."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.saves.close()


class _Meeting:
    """The answers of all ranks until the training has ended."""

    def __init__(self, ranks: Sequence[_Rank], watch: Watch, saved: Callable[[], None]) -> None:
        self._ranks, self._watch, self._saved = ranks, watch, saved
        self._stopped: Stopped | None = None
        self._open = {rank.connection: rank for rank in ranks}
        self._saves = [ranks[0].saves]  # empty when rank 0 has ended
        self._result: TrainResult | None = None

    def result(self) -> TrainResult:
        """Receive what the ranks send until all have ended."""
        while self._open:
            ready = wait([*self._open, *self._saves], timeout=STOP_S if self._stopped else None)
            if not ready and self._stopped:
                raise self._stopped  # a rank hangs: the caller kills it
            for saves in [saves for saves in self._saves if saves in ready]:
                self._has_saved(saves)
            for rank in [rank for connection, rank in self._open.items() if connection in ready]:
                self._receive(rank)
        if self._stopped:
            raise self._stopped
        if self._result is None:
            raise RankFailed("no rank has sent a result")
        return self._result

    def _has_saved(self, saves: Connection) -> None:
        try:
            saves.recv()
        except (EOFError, OSError):
            self._saves = []
        else:
            self._saved()

    def _receive(self, rank: _Rank) -> None:
        try:
            said = rank.connection.recv()
        except (EOFError, OSError):
            self._has_ended(rank)
            return
        match said:
            case Progress():
                self._report(rank, said)
            case Stopped() if self._stopped:
                pass
            case BaseException():
                raise said
            case _:
                self._result = self._result if said is None else said

    def _report(self, rank: _Rank, progress: Progress) -> None:
        """Pass progress on, and tell the rank whether to go on."""
        if self._stopped is None:
            try:
                self._watch(progress)
            except Stopped as stopped:
                self._stopped = stopped
        with suppress(OSError):
            rank.connection.send(self._stopped is not None)

    def _has_ended(self, rank: _Rank) -> None:
        del self._open[rank.connection]
        rank.process.join()
        code = rank.process.exitcode or 0
        if code < 0 and not self._stopped:
            self._die_alike(code)
        if code > 0:
            raise RankFailed(f"rank {rank.number} ended with code {code}")

    def _die_alike(self, code: int) -> NoReturn:
        """Kill the other ranks, and this process by the signal that killed a rank."""
        for rank in self._ranks:
            rank.end()
        os.kill(os.getpid(), -code)
        raise RankFailed(f"a rank was ended by {signal.Signals(-code).name}")  # if this process ignores the signal


def _serve(number: int, count: int, store: Path, work: Train, parent: Connection, saves: Connection) -> None:
    """Train as rank `number`, and send what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the parent process, which then ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(max(1, torch.get_num_threads() // count))

    def watch(progress: Progress) -> None:
        parent.send(progress)
        if parent.recv():
            raise Stopped

    def saved() -> None:
        saves.send(True)
        saves.recv()

    try:
        with connected(cast(Any, dist).FileStore(str(store), count), number, count) as ranks:
            result = work(watch=watch if ranks.first else silent, ranks=ranks, saved=saved)
        parent.send(result if ranks.first else None)
    except Stopped:
        parent.send(Stopped())
    except Exception as error:
        parent.send(_that_can_be_sent(error))
    parent.close()


def _that_can_be_sent(error: Exception) -> Exception:
    """Return `error`, or one with its text if a connection cannot send it."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RankFailed(f"{type(error).__name__}: {error}")
    return error
