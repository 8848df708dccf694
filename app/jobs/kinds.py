"""The kinds of jobs: the one place that names them, beside the functions of the worker that do the work."""

from dataclasses import dataclass


@dataclass(frozen=True)
class JobKind:
    """queue: of the workers that do it. collection: under /v1, where its result is found by the job's id.

    for_parent: its result is its parent's, so it is found by the parent's id.
    """

    queue: str
    collection: str
    for_parent: bool = False


KINDS = {
    "dataset": JobKind("light", "datasets"),
    "training": JobKind("training", "trainings"),
    "experiment": JobKind("light", "experiments"),
    "prediction": JobKind("prediction", "predictions"),
    "part": JobKind("prediction", "predictions", for_parent=True),
    "evaluation": JobKind("prediction", "evaluations"),
}
QUEUES = sorted({kind.queue for kind in KINDS.values()})


def kinds_in(queue: str) -> list[str]:
    """The names of the kinds that wait in a queue."""
    return [name for name, kind in KINDS.items() if kind.queue == queue]
