"""The job queue: Celery messages that notify workers that a job waits.

Only the database decides which job is done. A message may be lost, duplicated or late: the sweep sends it again, and a
worker needs a claim. The id of the job in a message only helps people who inspect the broker: whatever the message, a
worker does the oldest jobs of its queues, one after the other.
"""

import structlog
from celery import Celery
from kombu.exceptions import ChannelError

from app.core import tenancy
from app.jobs.kinds import KINDS
from app.settings import Settings
from app.tables import Job

TASK = "canemap.work"
log = structlog.get_logger()


def make_celery(settings: Settings) -> Celery:
    """A Celery app in its simplest configuration: early acknowledgement, no results, no prefetched messages."""
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
        # seconds that a worker sleeps after each message; short, so that stale messages do not delay the next job
        "polling_interval": 0.1,
    }


class JobQueue:
    """Notifies workers of waiting jobs. Lost notifications do no harm, because the sweep repeats them."""

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        # by default kombu tries for six seconds, and the client that requests a job would wait for it
        self._celery.conf.broker_transport_options |= {"max_retries": 1, "interval_start": 0}

    def notify(self, job: Job) -> None:
        """Send the id of a job to the queue of its kind. Never raises. Call it after the commit, never before."""
        try:
            queue, id_ = KINDS[job.kind].queue, tenancy.whole(job.id)
            self._celery.send_task(TASK, args=[id_], queue=queue, retry=False, ignore_result=True)
        except Exception as error:  # without the broker the job is still safe in the database: do not refuse it
            log.warning("the broker cannot be reached, the sweep will notify again", job=job.id, error=str(error))

    def messages(self, queue: str) -> int:
        """The number of messages that wait in a queue. Raises an error of kombu when the broker cannot be reached."""
        with self._celery.connection_for_write(connect_timeout=2) as connection:
            try:
                count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
            except ChannelError:  # the broker may not have a queue that never had a message
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
