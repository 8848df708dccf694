"""The life of a job of a kind that is only in `app/jobs/kinds.py`: python -m tests.app.jobs.another_kind FOLDER"""

import importlib.util
import sys
from multiprocessing import Pipe
from pathlib import Path
from types import ModuleType


def register() -> None:
    """Import `app.jobs.kinds` in this process with one more kind in its table."""
    spec = importlib.util.find_spec("app.jobs.kinds")
    assert spec and spec.origin
    source, begin = Path(spec.origin).read_text(), "KINDS = {\n"
    assert source.count(begin) == 1
    module = sys.modules[spec.name] = ModuleType(spec.name)
    exec(source.replace(begin, f'{begin}    "harvest": JobKind("fieldwork", "harvests"),\n'), vars(module))


def live(folder: Path) -> None:
    """Create a job of the new kind, check that every module of the service knows the kind, and do the job."""
    from app.api.documents import whole as documents
    from app.cli.running import WORKERS
    from app.core.db import migrate
    from app.jobs import claims, lifecycle
    from app.jobs.sweep import Sweeper
    from app.main import create_app
    from app.operations.job_counts import JobCounter
    from app.operations.readiness import database_faults
    from app.services import Services
    from app.settings import Settings
    from worker import attempt
    from worker.context import JobContext, Outcome

    settings = Settings(data_dir=folder, log_level="error")
    migrate(settings)
    services = Services.open(settings)
    counter = JobCounter(services.database)
    with services.database.write() as session:
        job = lifecycle.create(session, "hrv_1", "harvest")

    assert any("fieldwork" in queues.split(",") for queues in WORKERS)
    assert any("'fieldwork'" in fault.detail for fault in database_faults(services))
    parameters = create_app(settings).openapi()["paths"]["/v1/jobs"]["get"]["parameters"]
    assert "'harvest'" in str([each for each in parameters if each["name"] == "processID"])
    assert documents.result_of(job).href == "/v1/harvests/hrv_1"
    assert counter.counts() == {("harvest", "accepted"): 1}
    Sweeper(services.database, services.queue, settings).sweep()
    assert services.queue.messages("fieldwork") == 1

    with services.database.write() as session:
        claim = claims.claim_waiting(session, "fieldwork")
    assert claim
    report = folder / "report.txt"
    report.write_text("cane everywhere")
    vars(attempt)["WORK"] = {"harvest": lambda *_: Outcome(lambda *_: None, {"report.txt": report})}
    attempt.work(services, JobContext(services.database, claim, Pipe()[0]))
    counter.renew()
    assert counter.counts() == {("harvest", "successful"): 1}
    assert len(list(services.store.keys("harvests/hrv_1/"))) == 1
    services.close()


if __name__ == "__main__":
    register()
    live(Path(sys.argv[1]))
