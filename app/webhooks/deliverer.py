"""Delivers the messages of the outbox. Every API does so; several at the same time never make the same attempt."""

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from app.core.columns import now
from app.core.db import Database
from app.settings import Settings
from app.webhooks import deliveries, signing
from app.webhooks.addresses import Policy
from app.webhooks.deliveries import Claim
from app.webhooks.sending import Answer, send

POLL_S = 1.0  # between two looks into the outbox
AT_ONCE = 16  # messages that one process sends
PER_WEBHOOK = 4  # of these, to one webhook
TO_FAILING = 8  # of these, to webhooks whose last message was not accepted
LEASES = 2  # duration of a claim, in durations of the longest attempt
log = structlog.get_logger()
Task = asyncio.Task[None]


@dataclass
class Deliverer:
    """Sends what is due, until it is stopped; what it is sending then is sent by another process."""

    database: Database
    settings: Settings
    _sending: dict[Task, Claim] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set, in the scope of all tenants. Raises what the database raises."""
        try:
            asyncio.run(self._serve(stop))
        finally:
            left = [claim for task, claim in self._sending.items() if task.cancelled()]
            self._sending.clear()
            self._release(left)

    async def _serve(self, stop: threading.Event) -> None:
        pause: asyncio.Task[bool] | None = None
        while not stop.is_set():
            for claim in await asyncio.to_thread(self._claim):
                self._sending[asyncio.create_task(self._deliver(claim))] = claim
            if pause is None or pause.done():
                pause = asyncio.create_task(asyncio.to_thread(stop.wait, POLL_S))
            await asyncio.wait({pause, *self._sending}, return_when=asyncio.FIRST_COMPLETED)
            self._sending = {task: claim for task, claim in self._sending.items() if not task.done()}

    def _claim(self) -> list[Claim]:
        """Claim as many messages as can be sent now, first for those webhooks that have waited for the longest time."""
        room = AT_ONCE - len(self._sending)
        if not room:
            return []
        busy = Counter(claim.webhook for claim in self._sending.values())
        with self.database.read() as session:
            waiting = deliveries.waiting(session, now(), busy, PER_WEBHOOK)
        lease = timedelta(seconds=LEASES * self.settings.webhook_timeout_s)
        claimed: list[Claim] = []
        for webhook, fails in waiting:
            most = min(room - len(claimed), PER_WEBHOOK - busy[webhook])
            if fails:  # they leave room for others
                most = min(most, TO_FAILING - sum(claim.fails for claim in (*self._sending.values(), *claimed)))
            if most > 0:
                with self.database.write() as session:
                    claimed += deliveries.claim(session, now(), lease, of_webhook=webhook, most=most)
        return claimed

    async def _deliver(self, claim: Claim) -> None:
        """Make one attempt, and record it. If that fails, the message is sent again when the claim is over."""
        try:
            signed = signing.headers(claim.keys, claim.event, int(now().timestamp()), claim.body)
            timeout_s = self.settings.webhook_timeout_s
            answer = await send(claim.url, signed, claim.body, Policy.of(self.settings), timeout_s)
            await asyncio.to_thread(self._record, claim, answer)
        except Exception:
            log.exception("an attempt at a delivery broke off, it is repeated", delivery=claim.delivery)

    def _record(self, claim: Claim, answer: Answer) -> None:
        with self.database.write() as session:
            deliveries.record(session, claim, answer, self.settings.pauses_of_webhooks)
        if answer.detail:
            log.warning("a message failed", delivery=claim.delivery, attempt=claim.attempt, reason=answer.detail)
        else:
            log.info("a message was accepted", delivery=claim.delivery, attempt=claim.attempt)

    def _release(self, left: list[Claim]) -> None:
        if left:
            with self.database.write() as session:
                for claim in left:
                    deliveries.release(session, claim)
