"""The doorbell: a Celery message that says that a job waits in a queue.

The database is the truth. A message may be lost, doubled or late: the sweep rings again, and only a claim decides. The
job's id in it is for those who look into the broker: a worker takes the oldest jobs of its queues, one after the other.
"""

import structlog
from celery import Celery
from kombu.exceptions import ChannelError

from app.jobs.kinds import KINDS
from app.settings import Settings
from app.tables import Job

TASK = "canemap.work"
log = structlog.get_logger()


def make_celery(settings: Settings) -> Celery:
    """Celery at its plainest: early acknowledgement, no results, nothing fetched ahead."""
    celery = Celery("canemap", broker=settings.broker, set_as_current=False)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=settings.broker.startswith("redis"),
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings),
        task_default_queue="light",
    )
    if settings.broker.startswith("filesystem"):
        celery.conf.worker_enable_remote_control = False
    return celery


def _transport_options(settings: Settings) -> dict[str, object]:
    if not settings.broker.startswith("filesystem"):
        return {"socket_connect_timeout": 2, "socket_timeout": 10}
    folder = settings.broker_dir
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
        "store_processed": False,
        "polling_interval": 0.1,  # seconds a worker sleeps after each message: stale ones must not hold up the next job
    }


class JobQueue:
    """Tells the workers that a job waits. It never fails: what nobody hears is rung again by the sweep."""

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        # by itself kombu tries for six seconds, which whoever orders a job would wait for
        self._celery.conf.broker_transport_options |= {"max_retries": 1, "interval_start": 0}

    def notify(self, job: Job) -> None:
        """Send the job's id to the queue of its kind. Ring after the commit, never before."""
        try:
            self._celery.send_task(TASK, args=[job.id], queue=KINDS[job.kind].queue, retry=False, ignore_result=True)
        except Exception as error:  # a broker away is no reason to refuse a job that is safe in the database
            log.warning("broker away, the sweep will ring again", job=job.id, error=str(error))

    def messages(self, queue: str) -> int:
        """How many messages wait in a queue; raises when the broker is away."""
        with self._celery.connection_for_write(connect_timeout=2) as connection:
            try:
                count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
            except ChannelError:  # a queue without messages may not be there at all
                return 0
        return count

    def answers(self) -> bool:
        """Whether the broker can be reached."""
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        except Exception:
            return False
        return True
