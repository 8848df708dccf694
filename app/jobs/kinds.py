"""The kinds of jobs. They are named only here, and in `worker.attempt`, which has the functions that do the work."""

from dataclasses import dataclass

# Number of the form of what a job leaves for its worker. Whoever changes that form, so that older workers cannot read
# it, raises this number: workers claim only jobs of their own form and of older ones.
PROTOCOL = 1


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    queue: Queue in which jobs of this kind wait; workers serve some queues.
    collection: Collection under /v1 that has the result of such a job under the job's id.
    for_parent: Whether the result belongs to the parent job, and so has the parent's id in the collection.
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
    "sample": JobKind("light", "samples"),
    "survey": JobKind("light", "surveys"),
}
QUEUES = sorted({kind.queue for kind in KINDS.values()})


def kinds_in(queue: str) -> list[str]:
    """The names of the kinds whose jobs wait in `queue`."""
    return [name for name, kind in KINDS.items() if kind.queue == queue]
