"""Counts what each key does in this process: requests in a minute, and uploads, downloads and streams at once.

It needs no database for that: the limits of all tenants are read every few seconds. Another process counts by itself.
"""

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from weakref import WeakValueDictionary

from sqlalchemy import select

from app.access.limits import in_force
from app.access.scopes import Principal
from app.core import tenancy
from app.core.db import Database
from app.core.errors import OverQuota, Quota
from app.requests import Limits
from app.settings import Settings
from app.tables import Tenant

Kind = Literal["uploads", "downloads", "streams"]
RENEW_S = 5.0  # a limit that was changed through another process holds after this time
MINUTE_S = 60
RETRY_S = 5
AT_WORK = max(2, os.cpu_count() or 1)  # requests of one key that are worked on at once; others wait their turn
MOST = 10_000  # keys whose requests are remembered
DETAILS: dict[Kind, str] = {
    "uploads": "Your key sends {} files already, and may send no more at once.",
    "downloads": "Your key fetches {} files already, and may fetch no more at once.",
    "streams": "{} requests of your key wait for jobs already, and no more may at once.",
}


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
        if sender.key_id is None or not most:
            return None
        moment, a_second = self.clock(), most / MINUTE_S
        left, then = self._left.pop(sender.key_id, (float(most), moment))
        left = min(most, left + (moment - then) * a_second)
        refused = left < 1
        if len(self._left) >= MOST:
            self._left.pop(next(iter(self._left)))  # the one that was used longest ago
        self._left[sender.key_id] = (left if refused else left - 1, moment)
        if refused:
            raise _too_many_requests(most, math.ceil((1 - left) / a_second))
        again_full_s = math.ceil((most - left + 1) / a_second)
        return Quota("requests", most, "requests", int(left) - 1, MINUTE_S, again_full_s)

    def take(self, sender: Principal, kind: Kind) -> Callable[[], None]:
        """Count what a key does at once, until the returned function is called. Raises `OverQuota`."""
        most = getattr(self.limits_of(sender.tenant), kind)
        if sender.key_id is None or not most:
            return _nothing
        doing = (sender.key_id, kind)
        if self._busy[doing] >= most:
            raise _too_many_at_once(kind, most)
        self._busy[doing] += 1
        return partial(self._give_back, doing)

    async def turn(self, sender: Principal) -> Callable[[], None]:
        """Wait until fewer than `AT_WORK` requests of the key are worked on. Call the returned function at the end.

        So one key's flood stands in its own line, and requests of others need not wait behind all of it.
        """
        if sender.key_id is None:
            return _nothing
        turns = self._turns.setdefault(sender.key_id, asyncio.Semaphore(AT_WORK))
        await turns.acquire()
        return turns.release  # which keeps the line until its last request has ended

    def busy(self, key_id: str, kind: Kind) -> int:
        """How many of one kind a key does now."""
        return self._busy[key_id, kind]

    def _give_back(self, doing: tuple[str, Kind]) -> None:
        self._busy[doing] -= 1
        if not self._busy[doing]:
            del self._busy[doing]


def _nothing() -> None:
    pass


def _too_many_requests(most: int, retry_after_s: int) -> OverQuota:
    detail = f"Your key has sent more than {most} requests in a minute."
    hint = f"Go on in {retry_after_s} s, and more slowly. To wait for a job, ask with ?wait=60."
    return OverQuota("too-many-requests", detail, hint, Quota("requests", most, "requests", 0, MINUTE_S, retry_after_s))


def _too_many_at_once(kind: Kind, most: int) -> OverQuota:
    quota = Quota(kind, most, "concurrent-requests", retry_after_s=RETRY_S)
    hint = "Wait until one of them has ended, or end one."
    return OverQuota(f"too-many-{kind}", DETAILS[kind].format(most), hint, quota)
