"""The frame around every kind of work: scratch folder, watch, outcome, one transaction."""

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from kombu.utils.functional import retry_over_time
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.errors import Damaged, NoRoom, ProblemDocument, StoreAway, document, refusal
from app.jobs import lifecycle
from app.jobs.kinds import KINDS
from app.services import Services
from app.storage import Stored
from ml.faults import InputRefused
from ml.progress import Stopped
from worker import resume, scratch
from worker.context import Abandoned, Dismissed, Held, Outcome, Released
from worker.kinds import dataset, evaluation, experiment, prediction, training

log = structlog.get_logger()
Work = Callable[[Services, Held, Path], Outcome]
WORK: Mapping[str, Work] = {
    "dataset": dataset.run,
    "training": training.run,
    "experiment": experiment.run,
    "prediction": prediction.run,
    "part": prediction.run_part,
    "evaluation": evaluation.run,
}


def work(services: Services, held: Held) -> None:
    """Do the job and end it, or give it back."""
    held.log("claimed")
    try:
        _work(services, held)
    except (Abandoned, lifecycle.Lost):
        log.warning("given up: the job is somebody else's")
    except Released:
        _end(services, held, "given back", lifecycle.release)
    except StoreAway as error:  # it may come back: the job waits for that, and the sweep rings for it
        log.warning("the store is away", error=error.detail)
        _end(services, held, "given back: the store is away", lifecycle.release)
    except OperationalError as error:
        log.warning("the database is away", error=str(error))
        _end(services, held, "given back: the database was away", lifecycle.release)
    except NoRoom as error:  # somebody may make room, or another worker has some
        log.warning("no room", error=error.detail)
        _end(services, held, "given back: the disk of its worker is full", lifecycle.release)


def _work(services: Services, held: Held) -> None:
    """Do the job and end it; what is left to the caller is a job that is not ours to end."""
    root = services.settings.data_dir / "scratch"
    try:
        folder = scratch.prepare(root, held.claim)
        outcome = WORK[held.claim.kind](services, held, folder)
        _publish(services, held, outcome)
    except Dismissed:
        _end(services, held, "dismissed", lifecycle.dismissed)
    except (Stopped, StoreAway, NoRoom, OperationalError, lifecycle.Lost):
        raise
    except InputRefused as refused:
        _fail(services, held, refusal(refused))
    except Damaged as damaged:
        log.error("failed", error=damaged.detail)
        _fail(services, held, document(500, damaged.code, damaged.title, damaged.detail))
    except Exception as error:
        log.exception("failed")
        if scratch.no_room(root, error):
            raise scratch.full(root) from error
        _fail(services, held, _unexpected(error))
    scratch.remove(root, held.claim.job_id)
    resume.forget(services.store, held.claim.job_id)


def _publish(services: Services, held: Held, outcome: Outcome) -> None:
    """Files first, then ONE fenced transaction: it makes the result true. Without it the files are taken back."""
    place = outcome.place or f"{KINDS[held.claim.kind].collection}/{held.claim.job_id.replace(':', '/')}"
    stored: dict[str, Stored] = {}
    try:
        for name, path in outcome.files.items():
            stored[name] = services.store.put(path, f"{place}/{held.claim.attempt}/{name}")
        held.log("successful")
        _write(services, held, lambda session: _record(session, held.claim, outcome, stored))
    except BaseException:
        _take_back(services, held, stored)
        raise
    log.info("successful")


def _record(session: Session, claim: lifecycle.Claim, outcome: Outcome, stored: Mapping[str, Stored]) -> None:
    lifecycle.succeed(session, claim)
    outcome.record(session, stored)


def _take_back(services: Services, held: Held, stored: Mapping[str, Stored]) -> None:
    """Delete files that no row points to; but a commit may have succeeded though its answer was lost."""
    with services.database.read() as session:
        job = lifecycle.get(session, held.claim.job_id)
    if (job.status, job.attempt) == ("successful", held.claim.attempt):
        return
    for item in stored.values():
        services.store.delete(item.object)


def _fail(services: Services, held: Held, error: ProblemDocument) -> None:
    _end(services, held, f"failed: {error.detail}", lambda session, claim: lifecycle.fail(session, claim, error))


def _end(services: Services, held: Held, line: str, move: Callable[..., None]) -> None:
    held.log(line)
    _write(services, held, lambda session: move(session, held.claim))
    log.info(line)


def _write(services: Services, held: Held, change: Callable[[Session], None]) -> None:
    """In one transaction, with the log; tried again for as long as the job is ours, for the database may come back."""

    def once() -> None:
        with held.writing() as session:
            # how far it came, which the keeper may not have said
            lifecycle.beat(session, held.claim, held.progress, None)
            change(session)

    retry_over_time(once, OperationalError, interval_max=1, timeout=services.settings.lease_s)


def _unexpected(error: Exception) -> ProblemDocument:
    if isinstance(error, MemoryError):
        hint = "Take a smaller batch_size, chip_size or stripe_px."
        return document(500, "out-of-memory", "The work could not be done", f"The worker ran out of memory. {hint}")
    detail = f"The worker met an error that it did not expect ({type(error).__name__}); its log says more."
    return document(500, "internal-error", "The work could not be done", detail)
