"""One attempt at a job of any kind: prepares its scratch folder, does the work, publishes the outcome, ends the job."""

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from kombu.utils.functional import retry_over_time
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.access import usage
from app.core import tenancy
from app.core.columns import UnreadableRow
from app.core.errors import Damaged, NoRoom, ProblemDocument, StorageFull, StoreAway, document, refusal
from app.jobs import claims, lifecycle
from app.jobs.kinds import KINDS
from app.jobs.lifecycle import Death
from app.services import Services
from app.settings import Settings
from app.storage import Stored
from ml.faults import InputRefused
from ml.progress import Stopped
from worker import resume, scratch
from worker.context import Abandoned, Dismissed, JobContext, Outcome, Released
from worker.gpu_errors import GpuError, gpu_error
from worker.kinds import dataset, evaluation, experiment, prediction, sample, survey, training

log = structlog.get_logger()
Work = Callable[[Services, JobContext, Path], Outcome]
WORK: Mapping[str, Work] = {
    "dataset": dataset.run,
    "training": training.run,
    "experiment": experiment.run,
    "prediction": prediction.run,
    "part": prediction.run_part,
    "evaluation": evaluation.run,
    "sample": sample.run,
    "survey": survey.run,
}


def work(services: Services, context: JobContext) -> None:
    """Do a claimed job and end it, or give it back if this worker cannot do it now."""
    context.log("claimed")
    try:
        _work(services, context)
    except (Abandoned, claims.Lost):
        log.warning("given up: the claim is no longer valid")
    except Released:
        _end(services, context, "given back: its worker stopped", claims.release)
    except StoreAway as error:  # the store may become available again: the job waits, and the sweep notifies workers
        log.warning("the store cannot be reached", error=error.detail)
        _give_back(services, context, "the store cannot be reached")
    except OperationalError as error:
        log.warning("the database cannot be reached", error=str(error))
        _give_back(services, context, "the database could not be reached")
    except UnreadableRow as error:  # during an update there are workers of two versions
        log.warning("a document of the job cannot be read: update this worker", error=str(error))
        _give_back(services, context, "its worker is older than what the job was asked with")
    except NoRoom as error:  # an operator may free some space, or another worker has enough
        log.warning("the disk is full", error=error.detail)
        _give_back(
            services, context, "".join(["the disk of its worker is full", *(f": {it.detail}" for it in error.faults)])
        )
    except GpuFailed as failed:
        if failed.error.what == "shared":
            _give_back(services, context, "the GPU of its worker is full of the memory of other processes")
        else:
            _count_failure(services, context, Death(failed.error.detail, "gpu-fault"))


class GpuFailed(Exception):
    """The GPU could not do the work, and may do it at another time, or another one may."""

    def __init__(self, error: GpuError) -> None:
        super().__init__(error.detail)
        self.error = error


def _work(services: Services, context: JobContext) -> None:
    """Do the job and end it. Raises if the job must be given back, or if the claim is no longer valid."""
    root = services.settings.data_dir / "scratch"
    try:
        folder = scratch.prepare(root, context.claim)
        outcome = WORK[context.claim.kind](services, context, folder)
        _publish(services, context, outcome)
        resume.forget(services.store, context.claim.job_id)
    except Dismissed:
        _end(services, context, "dismissed", claims.dismissed)
    except (Stopped, StoreAway, NoRoom, OperationalError, UnreadableRow, claims.Lost):
        raise
    except StorageFull as refused:  # what was done so far is kept for a retry
        _fail(services, context, document(507, refused.code, refused.title, refused.detail, refused.faults))
    except InputRefused as refused:
        _fail(services, context, refusal(refused))
    except Damaged as damaged:
        log.error("failed", error=damaged.detail)
        _fail(services, context, document(500, damaged.code, damaged.title, damaged.public, damaged.faults))
    except Exception as error:
        log.exception("failed")
        if scratch.no_room(root, error):
            raise scratch.full(root) from error
        of_gpu = gpu_error(error)
        if of_gpu and of_gpu.what != "full":
            raise GpuFailed(of_gpu) from error
        _fail(services, context, _unexpected(error, of_gpu))
    scratch.remove(root, context.claim.job_id)


def _publish(services: Services, context: JobContext, outcome: Outcome) -> None:
    """Store the files, then record the outcome and end the job in one transaction that requires a valid claim.

    If that fails, the files are deleted again.
    """
    of_job = tenancy.file_name(context.claim.job_id).replace(":", "/")
    place = outcome.place or f"{KINDS[context.claim.kind].collection}/{of_job}"
    stored: dict[str, Stored] = {}
    try:
        for name, path in outcome.files.items():
            stored[name] = services.store.put(path, f"{place}/{context.claim.attempt}/{name}")
        context.log("successful")
        _write(services, context, lambda session: _record(session, services.settings, context.claim, outcome, stored))
    except BaseException:
        _delete_unused(services, context, stored)
        raise
    log.info("successful")


def _record(
    session: Session, settings: Settings, claim: claims.Claim, outcome: Outcome, stored: Mapping[str, Stored]
) -> None:
    """Record the outcome. Raises `StorageFull` if the tenant has more files then than it may have."""
    claims.succeed(session, claim)
    outcome.record(session, stored)
    usage.check_bytes(session, settings)


def _delete_unused(services: Services, context: JobContext, stored: Mapping[str, Stored]) -> None:
    """Delete the files of an outcome, unless it was recorded: a commit may succeed although its answer is lost."""
    with services.database.read() as session:
        job = lifecycle.get(session, context.claim.job_id)
    if (job.status, job.attempt) == ("successful", context.claim.attempt):
        return
    for item in stored.values():
        services.store.delete(item.object)


def _fail(services: Services, context: JobContext, error: ProblemDocument) -> None:
    _end(services, context, f"failed: {error.detail}", lambda session, claim: claims.fail(session, claim, error))


def _give_back(services: Services, context: JobContext, why: str) -> None:
    """Give the job back for a pause that grows; end it if that was so too often. why: In words."""
    settings = services.settings

    def change(session: Session) -> None:
        line = claims.give_back(
            session,
            context.claim,
            why,
            max_returns=settings.max_returns,
            pause_after=settings.pause_after_return,
        )
        context.log(line)
        log.info(line)

    _write(services, context, change)


def _count_failure(services: Services, context: JobContext, death: Death) -> None:
    """Count a failure of the job, which is tried again where it was, or ends if there were too many."""
    settings = services.settings

    def change(session: Session) -> None:
        job = lifecycle.get(session, context.claim.job_id)
        pause_s = settings.pause_after(job.failures + 1)
        lifecycle.give_back_or_fail(session, job, max_failures=settings.max_failures, pause_s=pause_s, death=death)

    _write(services, context, change)
    log.warning("failed", cause=death.cause)


def _end(services: Services, context: JobContext, line: str, move: Callable[..., None]) -> None:
    context.log(line)
    _write(services, context, lambda session: move(session, context.claim))
    log.info(line)


def _write(services: Services, context: JobContext, change: Callable[[Session], None]) -> None:
    """Write `change` and the lines of the log in one transaction.

    While the database cannot be reached this is tried again, for as long as the lease lasts.
    """

    def once() -> None:
        with context.writing() as session:
            # the last progress, which the supervisor may not have recorded
            claims.beat(session, context.claim, context.progress, None)
            change(session)

    retry_over_time(once, OperationalError, interval_max=1, timeout=services.settings.lease_s)


def _unexpected(error: Exception, of_gpu: GpuError | None) -> ProblemDocument:
    if isinstance(error, MemoryError) or of_gpu:
        hint = "Use a smaller batch_size, chip_size or stripe_px."
        detail = (
            f"The GPU of the worker ran out of memory. {hint}" if of_gpu else f"The worker ran out of memory. {hint}"
        )
        return document(500, "out-of-memory", "The work could not be done", detail)
    detail = f"The worker met an unexpected error ({type(error).__name__}); its log has the details."
    return document(500, "internal-error", "The work could not be done", detail)
