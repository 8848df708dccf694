"""The history checker: finds broken promises in what was promised and what happened. It has no clock and no database.

It has its own table of the legal moves of a job, from the documentation, because that of the service may be wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

FINAL = ("successful", "failed", "dismissed")
LEGAL = {
    ("accepted", "running"),
    ("accepted", "dismissed"),
    ("running", "accepted"),
    *(("running", end) for end in FINAL),
}
WORKER_LOST = "worker-lost"


@dataclass(frozen=True)
class Event:
    """What the database committed: a job was created, moved or deleted, or its result was recorded.

    at: Seconds since 1970. status, attempt, failures: Values of the job after the event; without meaning for a result.
    """

    at: float
    job: str
    what: str
    status: str = ""
    attempt: int = 0
    failures: int = 0


@dataclass
class Order:
    """An order: what a customer was promised and what they received in the end.

    ids: Id of the job in each acknowledgement, of the first POST and of its repetitions. dismissed: Whether the
    customer asked for the dismissal. seen: First final status that the customer received. products: By URL, the sha256
    that the service states and that of the received bytes.
    """

    key: str
    ids: list[str] = field(default_factory=list)
    dismissed: bool = False
    seen: str | None = None
    products: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A job in the database at the end of the soak. error: Type of its problem document."""

    status: str
    attempt: int
    failures: int
    error: str | None = None


@dataclass(frozen=True)
class Told:
    """A message of a webhook that the receiver took: a job has ended with a status. event: Its webhook-id."""

    at: float
    job: str
    status: str
    event: str


def untold(rows: Mapping[str, Row], told: Sequence[Told]) -> list[str]:
    """A sentence for each job whose end the receiver was not told, and for each message that is not true.

    A message may come twice, but with the same id.
    """
    by_job: dict[str, list[Told]] = defaultdict(list)
    for message in told:
        by_job[message.job].append(message)
    found = [f"{job}: its message was lost" for job in sorted(rows.keys() - by_job.keys())]
    for job, messages in sorted(by_job.items()):
        if len({message.event for message in messages}) > 1:
            found.append(f"{job}: one end was told by several events")
        if job not in rows or {message.status for message in messages} != {rows[job].status}:
            found.append(f"{job}: the receiver was told {messages[0].status}, but it is {rows.get(job)}")
    return found


def violations(orders: Sequence[Order], events: Iterable[Event], rows: Mapping[str, Row]) -> list[str]:
    """A sentence for each broken promise; empty if there is none. events: In the order of their commits."""
    by_job: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_job[event.job].append(event)
    found = [*_acknowledgements(orders, rows), *_unlike(orders)]
    for job in sorted(rows.keys() | by_job.keys()):
        found += [f"{job}: {fault}" for fault in _life(by_job.get(job, []), rows.get(job))]
    for order in orders:
        for job in set(order.ids) & rows.keys():
            found += [f"{job}: {fault}" for fault in _promise(order, rows[job])]
    return found


def _acknowledgements(orders: Sequence[Order], rows: Mapping[str, Row]) -> Iterator[str]:
    """Faults unless each key has one job, each job has one key, and each job was acknowledged."""
    for order in orders:
        if not order.ids:
            yield f"order {order.key}: was never acknowledged"
        if len(set(order.ids)) > 1:
            yield f"order {order.key}: one Idempotency-Key made {len(set(order.ids))} jobs: {sorted(set(order.ids))}"
        yield from (f"{job}: acknowledged, but lost" for job in set(order.ids) - rows.keys())
    keys = Counter(job for order in orders for job in set(order.ids))
    yield from (f"{job}: stands for {count} orders" for job, count in keys.items() if count > 1)
    yield from (f"{job}: exists, but nobody ordered it" for job in rows.keys() - keys.keys())


def _unlike(orders: Sequence[Order]) -> Iterator[str]:
    """Faults unless all products of one name have the same bytes: all orders are for the same map and training."""
    contents: dict[str, Counter[str]] = defaultdict(Counter)
    for order in orders:
        for url, (_, received) in order.products.items():
            contents[url.rpartition("/")[2]][received] += 1
    for name, sums in contents.items():
        if len(sums) > 1:
            yield f"{name} should be the same for all, but there are {dict(sums)}"


def _life(events: Sequence[Event], row: Row | None) -> Iterator[str]:
    """Faults in the life of a job.

    A job is created once, makes legal moves, counts each attempt once, ends once, and has one result if and only if it
    is successful.
    """
    states = [event for event in events if event.what != "result"]
    results = len(events) - len(states)
    if not states or [event.what for event in states] != ["created"] + ["moved"] * (len(states) - 1):
        yield f"its life is {', '.join(event.what for event in states) or 'empty'}"
        return
    if (states[0].status, states[0].attempt, states[0].failures) != ("accepted", 0, 0):
        yield f"was created as {states[0].status}, attempt {states[0].attempt}"
    for before, after in pairwise(states):
        yield from _move(before, after)
    last = states[-1]
    if last.status not in FINAL:
        yield f"has not ended: it is {last.status}"
    if row and (row.status, row.attempt, row.failures) != (last.status, last.attempt, last.failures):
        yield f"is {row.status} in attempt {row.attempt}, but its last move was to {last.status}"
    if results != (last.status == "successful"):
        yield f"is {last.status}, with {results} results"


def _move(before: Event, after: Event) -> Iterator[str]:
    if (before.status, after.status) not in LEGAL:
        yield f"moved from {before.status} to {after.status}"
    claims = after.status == "running"
    if after.attempt != before.attempt + claims:
        yield f"attempt {before.attempt} became {after.attempt} by a move to {after.status}"
    if not 0 <= after.failures - before.failures <= (not claims):
        yield f"failures went from {before.failures} to {after.failures} by a move to {after.status}"


def _promise(order: Order, row: Row) -> Iterator[str]:
    """Faults unless the answers to the customer are true: the final status, and the sha256 of the products."""
    if order.seen and order.seen != row.status:
        yield f"the customer was told {order.seen}, but it is {row.status}"
    if row.status == "dismissed" and not order.dismissed:
        yield "was dismissed, but nobody asked for it"
    if row.status == "failed" and row.error != WORKER_LOST:
        yield f"failed with {row.error}"
    if bool(order.products) != (row.status == "successful"):
        yield f"is {row.status}, with {len(order.products)} products"
    for name, (stated, received) in order.products.items():
        if stated != received:
            yield f"{name} has another sha256 than recorded"
