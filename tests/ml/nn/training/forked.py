"""The program that the tests of `ml.nn.training.together` start, since it forks: it carries out one order.

`python -m tests.ml.nn.training.forked FOLDER COUNT` reads an `Order` from `order.json` in the folder, trains with COUNT
processes, and writes to `outcome.json` what came of it. `die` is the step at which it kills its last rank.
"""

import multiprocessing
import sys
import time
from pathlib import Path

import torch

from ml.faults import InputRefused
from ml.nn.training.together import train_together
from ml.progress import Progress, Stopped
from tests.ml.nn.training.ranked import Order, Outcome


def do(order: Order, count: int) -> Outcome:
    steps: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.stage != "train":
            return
        steps.append(progress.done)
        if progress.done == order.stop:
            raise Stopped
        if progress.done == order.die:
            multiprocessing.active_children()[-1].kill()

    def saved() -> None:
        with (order.out / "saved").open("a") as file:
            file.write(f"{time.monotonic()}\n")

    try:
        result = train_together(count, order.config, order.data, order.out, watch, saved=saved)
    except Stopped:
        return Outcome(ended="stopped")
    except InputRefused as refused:
        return Outcome(ended=refused.faults[0].code)
    losses = tuple(float(row["loss"] or 0) for row in result.series)
    return Outcome(ended="trained", begun=steps[0], losses=losses, ious=tuple(row["val_iou"] for row in result.series))


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    outcome = do(Order.model_validate_json((folder / "order.json").read_bytes()), int(sys.argv[2]))
    (folder / "outcome.json").write_text(outcome.model_dump_json())
