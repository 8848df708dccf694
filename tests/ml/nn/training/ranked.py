"""What each process does that the tests of `ml.nn.training.ranks` start with torch's launcher, and how they start it.

`python -m tests.ml.nn.training.ranked FOLDER` does the trainings of `orders.json` there, a list of `Order`, and writes
what came of each of them on this rank to `{out}/rank{number}.json`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from pydantic import TypeAdapter

from ml.config import TrainConfig
from ml.data import TrainingData
from ml.faults import InputRefused
from ml.frozen import Frozen
from ml.nn.training.ranks import Ranks, joined
from ml.nn.training.train import train
from ml.progress import Progress, Stopped

ROOT = Path(__file__).resolve().parents[4]


class Order(Frozen):
    """A training into `out`. stop: the step at which rank 0 hears that it shall stop.

    die: the step at which rank 1 kills itself, the first time that it comes there.
    """

    config: TrainConfig
    data: TrainingData
    out: Path
    stop: int | None = None
    die: int | None = None


class Seen(Frozen):
    """What came of an order on one rank. ended: "trained", "stopped" or the code of a refusal.

    begun: the step it went on from in its last attempt. losses, ious: of each epoch.
    """

    ended: str
    begun: int | None = None
    losses: tuple[float, ...] = ()
    ious: tuple[float | None, ...] = ()


ORDERS = TypeAdapter(list[Order])


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    """Torch's launcher with two processes and these arguments."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        *map(str, arguments),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def launch(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of what is `started`."""
    with started(*arguments) as launcher:
        try:
            output, _ = launcher.communicate(timeout=200)
        finally:
            launcher.terminate()  # which ends the processes it has started, too
    return launcher.returncode, output


def task(folder: Path, orders: list[Order]) -> tuple[str | Path, ...]:
    """The arguments with which two processes do `orders`."""
    (folder / "orders.json").write_bytes(ORDERS.dump_json(orders))
    return "-m", "tests.ml.nn.training.ranked", folder


def carried_out(folder: Path, orders: list[Order], *options: str) -> None:
    """Have two processes do `orders`."""
    code, output = launch(*options, *task(folder, orders))
    assert code == 0, output


def seen_by(order: Order) -> list[Seen]:
    """What came of `order` on each rank."""
    return [Seen.model_validate_json((order.out / f"rank{rank}.json").read_text()) for rank in range(2)]


def do(order: Order, ranks: Ranks) -> Seen:
    steps: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.stage != "train":
            return
        steps.append(progress.done)
        if ranks.first and progress.done == order.stop:
            raise Stopped
        died = order.out / "died"
        if not ranks.first and progress.done == order.die and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        result = train(order.config, order.data, order.out, watch, ranks)
    except Stopped:
        return Seen(ended="stopped")
    except InputRefused as refused:
        return Seen(ended=refused.faults[0].code)
    losses = tuple(float(row["loss"] or 0) for row in result.series)
    return Seen(ended="trained", begun=steps[0], losses=losses, ious=tuple(row["val_iou"] for row in result.series))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined() as ranks:
        for order in ORDERS.validate_json((folder / "orders.json").read_text()):
            order.out.mkdir(parents=True, exist_ok=True)
            part = order.out / f"rank{ranks.rank}.part"
            part.write_text(do(order, ranks).model_dump_json())
            part.replace(part.with_suffix(".json"))  # whole as soon as it is there


if __name__ == "__main__":
    main(Path(sys.argv[1]))
