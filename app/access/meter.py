"""Counts what each key does in this process: requests in a minute, and uploads, downloads and streams at once.

What all keys of a tenant do together counts, too: whoever has the scope admin can make any number of keys.

It needs no database for that: the limits of all tenants are read every few seconds. Another process counts by itself.
"""

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakValueDictionary

from sqlalchemy import select

from app.access.limits import in_force
from app.access.scopes import Principal
from app.core import tenancy
from app.core.db import Database
from app.core.errors import OverQuota, Quota
from app.requests.access import Limits
from app.settings import Settings
from app.tables import Tenant

Kind = Literal["uploads", "downloads", "streams"]
RENEW_S = 5.0  # a limit that was changed through another process holds after this time
MINUTE_S = 60
RETRY_S = 5
AT_WORK = max(2, os.cpu_count() or 1)  # requests of one key that are worked on at once; others wait their turn
KEYS = 5  # a tenant may do this multiple of what one key may, so that new keys do not escape the limits
MOST = 10_000  # keys whose requests are remembered
DETAILS: dict[Kind, str] = {
    "uploads": "Your key sends {} files already, and may send no more at once.",
    "downloads": "Your key fetches {} files already, and may fetch no more at once.",
    "streams": "{} requests of your key wait for jobs already, and no more may at once.",
}
TOGETHER: dict[Kind, str] = {
    "uploads": "The keys of your tenant send {} files already, and may send no more at once.",
    "downloads": "The keys of your tenant fetch {} files already, and may fetch no more at once.",
    "streams": "{} requests of your tenant wait for jobs already, and no more may at once.",
}


@dataclass(frozen=True)
class Counted:
    """Whose requests are counted together. id: Of a key, or of a tenant. most: What they may do."""

    id: str
    most: int
    together: bool = False

    def policy(self, name: str) -> str:
        """The name of a limit in the fields of answers."""
        return f"tenant-{name}" if self.together else name


@dataclass
class Meter:
    """The counts of one process. Only its event loop counts. clock: Returns seconds that only grow."""

    database: Database
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    _limits: dict[str, Limits] = field(default_factory=dict)  # in force, by tenant
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)  # requests that a key may send, and as of when
    _busy: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    _turns: WeakValueDictionary[str, asyncio.Semaphore] = field(default_factory=WeakValueDictionary)  # by key

    def renew(self) -> None:
        """Read the limits of all tenants."""
        with tenancy.acting_for(tenancy.ALL), self.database.read() as session:
            found = session.execute(select(Tenant.id, Tenant.limits)).all()
        self._limits = {tenant: in_force(self.settings, tenant, own) for tenant, own in found}

    def limits_of(self, tenant: str) -> Limits:
        """The limits in force of a tenant, as of the last `renew`."""
        return self._limits.get(tenant) or in_force(self.settings, tenant, Limits())

    def request(self, sender: Principal) -> Quota | None:
        """Count a request; returns what is left, or None without a limit. Raises `OverQuota`.

        A key that was quiet for a minute may send all requests of a minute at once.
        """
        most = self.limits_of(sender.tenant).requests_per_minute
        if not most:
            return None
        left = [self._request(who) for who in _counted(sender, most)]
        return min(left, key=lambda quota: quota.left, default=None)

    def _request(self, who: Counted) -> Quota:
        moment, most, a_second = self.clock(), who.most, who.most / MINUTE_S
        left, then = self._left.pop(who.id, (float(most), moment))
        left = min(most, left + (moment - then) * a_second)
        refused = left < 1
        if len(self._left) >= MOST:
            self._left.pop(next(iter(self._left)))  # the one that was used longest ago
        self._left[who.id] = (left if refused else left - 1, moment)
        if refused:
            raise _too_many_requests(who, math.ceil((1 - left) / a_second))
        again_full_s = math.ceil((most - left + 1) / a_second)
        return Quota(who.policy("requests"), most, "requests", int(left) - 1, MINUTE_S, again_full_s)

    def take(self, sender: Principal, kind: Kind) -> Callable[[], None]:
        """Count what a key does at once, until the returned function is called. Raises `OverQuota`."""
        most = getattr(self.limits_of(sender.tenant), kind)
        with ExitStack() as taken:
            for who in _counted(sender, most) if most else ():
                doing = (who.id, kind)
                if self._busy[doing] >= who.most:
                    raise _too_many_at_once(kind, who)
                self._busy[doing] += 1
                taken.callback(self._give_back, doing)
            return taken.pop_all().close

    async def turn(self, sender: Principal) -> Callable[[], None]:
        """Wait until fewer than `AT_WORK` requests of the key are worked on. Call the returned function at the end.

        So one key's flood stands in its own line, and requests of others need not wait behind all of it.
        """
        with ExitStack() as taken:
            for who in _counted(sender, AT_WORK):
                turns = self._turns.setdefault(who.id, asyncio.Semaphore(who.most))
                await turns.acquire()
                taken.callback(turns.release)  # which keeps the line until its last request has ended
            return taken.pop_all().close

    def busy(self, key_id: str, kind: Kind) -> int:
        """How many of one kind a key does now."""
        return self._busy[key_id, kind]

    def _give_back(self, doing: tuple[str, Kind]) -> None:
        self._busy[doing] -= 1
        if not self._busy[doing]:
            del self._busy[doing]


def _counted(sender: Principal, most: int) -> tuple[Counted, ...]:
    """Under whose names a request counts: of its key, and of all keys of its tenant. most: What one key may do."""
    if sender.key_id is None:
        return ()
    of_key = Counted(sender.key_id, most)
    if sender.tenant == tenancy.LOCAL:
        return (of_key,)
    return of_key, Counted(f"tenant {sender.tenant}", KEYS * most, together=True)


def _too_many_requests(who: Counted, retry_after_s: int) -> OverQuota:
    detail = f"Your key has sent more than {who.most} requests in a minute."
    if who.together:
        detail = f"The keys of your tenant have sent more than {who.most} requests in a minute."
    hint = f"Go on in {retry_after_s} s, and more slowly. To wait for a job, ask with ?wait=60."
    quota = Quota(who.policy("requests"), who.most, "requests", 0, MINUTE_S, retry_after_s)
    return OverQuota("too-many-requests", detail, hint, quota)


def _too_many_at_once(kind: Kind, who: Counted) -> OverQuota:
    quota = Quota(who.policy(kind), who.most, "concurrent-requests", retry_after_s=RETRY_S)
    hint = "Wait until one of them has ended, or end one."
    detail = (TOGETHER if who.together else DETAILS)[kind].format(who.most)
    return OverQuota(f"too-many-{kind}", detail, hint, quota)
