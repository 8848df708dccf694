"""The program that the tests of `ml.nn.training.ranks` start with torch's launcher, and functions to start it.

`python -m tests.ml.nn.training.ranked FOLDER` reads a list of `Order` from `orders.json` in the folder, does each,
and writes the outcome on this rank to `{out}/rank{number}.json`.
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
    """A training to do.

    config, data, out: Arguments of `train`.
    stop: Step at which rank 0 raises `Stopped`.
    die: Step at which rank 1 kills itself, the first time that it reaches this step.
    """

    config: TrainConfig
    data: TrainingData
    out: Path
    stop: int | None = None
    die: int | None = None


class Outcome(Frozen):
    """The outcome of an order on one rank.

    ended: "trained", "stopped" or the code of a refusal.
    begun: Number of the step after which its last attempt began.
    losses, ious: Loss, and IoU on the val split, of each epoch.
    """

    ended: str
    begun: int | None = None
    losses: tuple[float, ...] = ()
    ious: tuple[float | None, ...] = ()


ORDERS = TypeAdapter(list[Order])


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start torch's launcher with two processes and these arguments."""
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
    """Run torch's launcher to its end; return its exit code and output."""
    with started(*arguments) as launcher:
        try:
            output, _ = launcher.communicate(timeout=200)
        finally:
            launcher.terminate()  # also ends the processes that it has started
    return launcher.returncode, output


def task(folder: Path, orders: list[Order]) -> tuple[str | Path, ...]:
    """Write `orders` to `folder`; return the launcher's arguments that make two processes do them."""
    (folder / "orders.json").write_bytes(ORDERS.dump_json(orders))
    return "-m", "tests.ml.nn.training.ranked", folder


def carried_out(folder: Path, orders: list[Order], *options: str) -> None:
    """Let two processes do `orders`, and assert that they succeed."""
    code, output = launch(*options, *task(folder, orders))
    assert code == 0, output


def outcomes(order: Order) -> list[Outcome]:
    """Read the outcomes of `order` on the two ranks."""
    return [Outcome.model_validate_json((order.out / f"rank{rank}.json").read_text()) for rank in range(2)]


def do(order: Order, ranks: Ranks) -> Outcome:
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
        return Outcome(ended="stopped")
    except InputRefused as refused:
        return Outcome(ended=refused.faults[0].code)
    losses = tuple(float(row["loss"] or 0) for row in result.series)
    return Outcome(ended="trained", begun=steps[0], losses=losses, ious=tuple(row["val_iou"] for row in result.series))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined() as ranks:
        for order in ORDERS.validate_json((folder / "orders.json").read_text()):
            order.out.mkdir(parents=True, exist_ok=True)
            partial = order.out / f"rank{ranks.rank}.part"
            partial.write_text(do(order, ranks).model_dump_json())
            partial.replace(partial.with_suffix(".json"))  # the file appears only when it is complete


if __name__ == "__main__":
    main(Path(sys.argv[1]))
