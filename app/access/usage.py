"""What a tenant has used of its limits, which the database knows, and the refusals of what would be too much.

Each check locks the row of the tenant, so requests that are sent at once cannot pass a limit together. It is the last
lock that a transaction takes: whoever has it waits for nobody, and ends soon.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import limits, tenants
from app.core import tenancy
from app.core.columns import now
from app.core.errors import NeverFits, OverQuota, Quota, StorageFull
from app.settings import Settings
from app.tables import SIZED, IncomingFile, Job, Tenant

UNENDED = ("accepted", "running")
RETRY_JOBS_S, RETRY_BYTES_S = 60, 3600
DAY_S = 86_400
FREE_BYTES = "Delete scenes, labels or predictions that nobody needs, or ask whoever runs the service for more."


class Usage(BaseModel):
    """What a tenant has used at this moment."""

    queued_jobs: int
    stored_bytes: int
    pixels_today: int


def of(session: Session, tenant: str) -> Usage:
    """What a tenant has used. The session may be in the scope of all tenants. Raises `NotFound`."""
    pixels = _pixels_today(tenants.get(session, tenant), now())
    jobs, stored = unended_jobs(session, tenant), stored_bytes(session, tenant)
    return Usage(queued_jobs=jobs, stored_bytes=stored, pixels_today=pixels)


def unended_jobs(session: Session, tenant: str) -> int:
    """How many jobs of the tenant wait or run. Those of an experiment and the parts of a prediction count, too."""
    wanted = select(func.count()).where(Job.tenant == tenant, Job.reported_status.in_(UNENDED))
    return session.scalar(wanted) or 0


def stored_bytes(session: Session, tenant: str) -> int:
    """The bytes of all files that rows of the tenant name, and of those that are arriving.

    It is a sum of what is there and no counter, so whatever is deleted, by whatever way, makes room at once.
    """
    sums = [select(func.coalesce(func.sum(table.size_bytes), 0)).where(table.tenant == tenant) for table in SIZED]
    arriving = (IncomingFile.tenant == tenant, IncomingFile.until > now())
    sums.append(select(func.coalesce(func.sum(IncomingFile.size_bytes), 0)).where(*arriving))
    return sum(session.execute(select(*(each.scalar_subquery() for each in sums))).one())


def check_jobs(session: Session, settings: Settings) -> None:
    """Raise `OverQuota` if the tenant has more unended jobs than it may have, those of this transaction included.

    Raises `StorageFull` if it can store nothing of what they would make.
    """
    own = limits.of_scope(session, settings)
    if own.queued_jobs:
        lock(session)
        count = unended_jobs(session, tenancy.current())
        if count > own.queued_jobs:
            raise _too_many_jobs(count, own.queued_jobs)
    if own.stored_bytes and (stored := stored_bytes(session, tenancy.current())) >= own.stored_bytes:
        raise _full(stored, 0, own.stored_bytes)


def check_bytes(session: Session, settings: Settings, more: int = 0) -> None:
    """Raise `StorageFull` if the tenant has stored more than it may, this transaction included, or would with `more`.

    more: Bytes of a file that was announced. Raises `NeverFits` if it is larger than all that the tenant may store.
    """
    most = limits.of_scope(session, settings).stored_bytes
    if not most:
        return
    lock(session)
    check_fits(stored_bytes(session, tenancy.current()), more, most)


def check_fits(stored: int, more: int, most: int) -> None:
    """Raise `NeverFits` or `StorageFull` if `more` bytes do not fit beside those that are stored. most: All in all."""
    if more > most:
        detail = f"The file has {more} bytes, and all files of your tenant may have {most} together."
        raise NeverFits("tenant-storage-full", detail, FREE_BYTES, _of_bytes(most, most - stored, None))
    if stored + more > most:
        raise _full(stored, more, most)


def take_pixels(session: Session, settings: Settings, pixels: int) -> None:
    """Count pixels that are to be mapped. Raises `OverQuota` if that is more than the tenant may have on a day."""
    most, moment = limits.of_scope(session, settings).pixels_per_day, now()
    lock = {"key_share": True}
    tenant = session.get_one(Tenant, tenancy.current(), with_for_update=lock, populate_existing=True)
    used = _pixels_today(tenant, moment)
    if most and used + pixels > most:
        raise _too_many_pixels(used, pixels, most, moment)
    tenant.pixels_day, tenant.pixels = moment.date(), used + pixels
    session.flush()


def _pixels_today(tenant: Tenant, moment: datetime) -> int:
    return tenant.pixels if tenant.pixels_day == moment.date() else 0


def lock(session: Session) -> None:
    """Let transactions that add something for this tenant wait for each other until they end."""
    wanted = select(Tenant.id).where(Tenant.id == tenancy.current())
    session.execute(wanted.with_for_update(key_share=True))


def _too_many_jobs(count: int, most: int) -> OverQuota:
    detail = f"With this request {count} jobs of your tenant would wait or run; it may have {most}."
    hint = "Wait until some have ended, or dismiss some. The runs of an experiment and the parts of a map count, too."
    return OverQuota("too-many-jobs", detail, hint, Quota("jobs", most, "jobs", retry_after_s=RETRY_JOBS_S))


def _full(stored: int, more: int, most: int) -> StorageFull:
    detail = f"The files of your tenant have {stored} bytes and may have {most}; this needs {more} more."
    if not more:
        detail = f"The files of your tenant have {stored} bytes and may have {most}."
    return StorageFull("tenant-storage-full", detail, FREE_BYTES, _of_bytes(most, most - stored, RETRY_BYTES_S))


def _of_bytes(most: int, left: int, retry_after_s: int | None) -> Quota:
    return Quota("stored-bytes", most, "content-bytes", max(0, left), retry_after_s=retry_after_s)


def _too_many_pixels(used: int, pixels: int, most: int, moment: datetime) -> OverQuota:
    detail = f"The scene has {pixels} pixels. Your tenant has had {used} mapped today, of {most} that it may on a day."
    hint = "Go on tomorrow: days begin at 0:00 UTC. Or ask whoever runs the service for more."
    tomorrow = datetime.combine(moment.date() + timedelta(days=1), datetime.min.time(), moment.tzinfo)
    seconds = int((tomorrow - moment).total_seconds()) + 1
    return OverQuota("too-many-pixels", detail, hint, Quota("pixels", most, "pixels", most - used, DAY_S, seconds))
