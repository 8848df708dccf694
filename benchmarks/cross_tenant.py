"""Lets two tenants, each with keys of every scope, reach for each other's things; counts what they get of them.

    python benchmarks/cross_tenant.py [--calls 100000] [--minutes 15] [--seed 1] [--sqlite]

A service without workers runs on loopback, on a PostgreSQL that the script also starts, and asks for keys. Each tenant
has a thing of each kind. Then calls of every operation of /openapi.json are sent, with ids, names, tokens, ETags,
Idempotency-Keys and signatures of both tenants in paths, queries, headers and bodies, by senders with a key of each
scope, without a key, with an unknown, a revoked and an expired one, and with signed addresses. It must find

* no answer with a text that only the other tenant has written, or with one of its files,
* no answer for a foreign id that differs from the answer for an id that nothing has,
* no 5xx,
* no 401 and no 403 that the table of routes does not expect, and none of those missing,
* both tenants' things as they were before.
"""

import argparse
import hashlib
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from fastapi.routing import RouteContext

from app.access.scopes import SCOPES
from app.api.http.access import OPERATORS, ROUTES
from app.api.http.heads import routes_of
from app.api.processes import WORK
from app.core.db import migrate
from app.core.startup import configure_logs
from app.main import create_app
from app.services import Services
from app.settings import Settings
from benchmarks.bench_api import postgres
from benchmarks.bench_tenants import serving
from benchmarks.generated_calls import Call, Caller, Pool, unknown, words_of
from tests.app.api.access import make_key, showing
from tests.app.api.furnishing import furnish
from worker.supervisor import perform_all

THREADS = 4
WAIT_S = 300  # for an answer, on a machine that has much else to do
REFUSED = {"none": "no-key", "unknown": "unknown-key", "revoked": "unknown-key", "expired": "expired-key"}
# where what asks for approval is refused to those who may not give it
APPROVAL = (
    "put_alias",
    "delete_alias",
    "patch_model",
    "delete_model",
    "delete_version",
    "patch_schedule",
    "delete_scene",
)
FILES = ("/v1/scenes/{scenes}/data", "/v1/scenes/{scenes}/preview.png", "/v1/models/{models}/versions/1/bundle")


@dataclass(frozen=True)
class Sender:
    """Who sends calls. kind: A scope, "signed", or a kind of `REFUSED`."""

    kind: str
    pool: Pool
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """What the calls have shown. faults: By kind, with the first of each. own: Answers with the sender's own texts."""

    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    own: int = 0
    pairs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, kind: str, told: str) -> None:
        """Count a fault, and print the first ones of its kind."""
        with self.lock:
            self.faults[kind] += 1
            if self.faults[kind] <= 5:
                print(f"{kind}: {told[:600]}", flush=True)


def main() -> None:
    """Send the calls, print the counts, and end with 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="how many to send at most")
    parser.add_argument("--minutes", type=float, default=15, help="for how long to send at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sqlite", action="store_true", help="on SQLite instead of PostgreSQL")
    arguments = parser.parse_args()
    with (
        nullcontext("") if arguments.sqlite else postgres() as url,
        tempfile.TemporaryDirectory() as folder,
        furnished(Path(folder), url) as (base, senders),
    ):
        found = Found()
        before = kept(base, senders)
        send_all(base, senders, arguments, found)
        for path, told in kept(base, senders).items():
            if told != before[path]:
                found.fault("changed", path)
    show(found)
    sys.exit(1 if found.faults else 0)


@contextmanager
def furnished(folder: Path, url: str) -> Iterator[tuple[str, list[Sender]]]:
    """A service with two tenants; yields its address and the senders."""
    data = folder / "keys"  # where `serving` has it
    settings = Settings(data_dir=data, database_url=url, log_level="error", webhook_networks="127.0.0.0/8")
    configure_logs(settings)
    data.mkdir()
    migrate(settings)
    services = Services.open(settings)
    senders: list[Sender] = []
    pools = []
    served = settings.model_copy(update={"data_dir": folder, "database_url": settings.database})
    with serving(served, "keys", CANEMAP_LIMIT_REQUESTS_PER_MINUTE="0", CANEMAP_WEBHOOK_NETWORKS="127.0.0.0/8") as base:
        for number, tenant in enumerate(("haikou", "nanning")):
            texts = {scope: make_key(settings, tenant, scope) for scope in SCOPES}
            canary = f"canary {tenant} {secrets.token_hex(8)}"
            with httpx.Client(base_url=base, headers=showing(texts["admin"]), timeout=WAIT_S) as http:
                files = folder / tenant
                files.mkdir()
                work = partial(perform_all, services, ("light", "training", "prediction"), threading.Event())
                ids = furnish(http, work, files, canary, alone=f"{tenant}-alone", seed=1000 * (number + 1))
                moved = {"version": 1, "reason": canary}
                assert http.put(f"/v1/models/{ids['models']}/aliases/beta", json=moved).is_success
            pool = Pool(tenant, canary, ids | {"keys": texts["admin"].split("_")[1], "tenants": tenant})
            pools.append(pool)
            senders += [Sender(scope, pool, showing(text)) for scope, text in texts.items()]
            revoked = make_key(settings, tenant)
            senders += [Sender("revoked", pool, showing(revoked)), Sender("signed", pool)]
            assert httpx.delete(
                f"{base}/v1/keys/{revoked.split('_')[1]}", headers=showing(texts["admin"]), timeout=WAIT_S
            ).is_success
            senders.append(Sender("expired", pool, showing(make_key(settings, tenant, lifetime=timedelta(0)))))
        nobody = Pool("nobody", secrets.token_hex(16), pools[0].kept)
        stranger = make_key(settings.model_copy(update={"database_url": elsewhere(folder)}))
        senders += [Sender("none", nobody), Sender("unknown", nobody, showing(stranger))]
        services.close()
        yield base, senders


def elsewhere(folder: Path) -> str:
    """A database of another service, whose keys are unknown here."""
    url = f"sqlite:///{folder / 'elsewhere.db'}"
    migrate(Settings(data_dir=folder, database_url=url))
    return url


def kept(base: str, senders: Sequence[Sender]) -> dict[str, str]:
    """What each tenant reads of the things that its senders do not change, but for what changes by itself."""
    told = {}
    for sender in senders:
        if sender.kind != "admin":
            continue
        for collection, id_ in sender.pool.kept.items():
            if collection in ("uploads", "run", "delivery", "keys", "tenants", "models"):
                continue
            path = f"/v1/{collection}/{id_}"
            told[path] = httpx.get(f"{base}{path}", headers=sender.headers, timeout=WAIT_S).raise_for_status().text
    return told


def send_all(base: str, senders: Sequence[Sender], arguments: argparse.Namespace, found: Found) -> None:
    """Send calls in several threads until enough are sent."""
    document = httpx.get(f"{base}/openapi.json", timeout=WAIT_S).json()
    routes = list(routes_of(create_app(Settings())))
    files = files_of(base, senders)
    end = time.monotonic() + 60 * arguments.minutes

    def send(number: int) -> None:
        chance = random.Random(f"{arguments.seed} {number}")
        with httpx.Client(base_url=base, timeout=WAIT_S) as http:
            tester = Tester(http, routes, document, senders, files, found, chance)
            for _ in range(arguments.calls // THREADS):
                if time.monotonic() > end:
                    break
                tester.step()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def files_of(base: str, senders: Sequence[Sender]) -> dict[str, str]:
    """The tenant that has a file, by its sha256."""
    found = {}
    for sender in senders:
        if sender.kind == "admin":
            for path in FILES:
                answer = httpx.get(f"{base}{path.format(**sender.pool.kept)}", headers=sender.headers, timeout=WAIT_S)
                found[hashlib.sha256(answer.raise_for_status().content).hexdigest()] = sender.pool.tenant
    assert len(found) == 2 * len(FILES)
    return found


@dataclass
class Tester:
    """Sends calls of one thread, and judges the answers."""

    http: httpx.Client
    routes: Sequence[RouteContext]
    document: dict[str, Any]
    senders: Sequence[Sender]
    files: dict[str, str]
    found: Found
    random: random.Random

    def step(self) -> None:
        """Send one call, and a second one if it names what belongs to another tenant."""
        sender = self.random.choice(self.senders)
        pools = [each.pool for each in self.senders if each.kind == "admin"]
        other = self.random.choice([pool for pool in pools if pool is not sender.pool])
        call = Caller(self.document, sender.pool, other, self.random).call()
        if call.operation == "get_events" and call.foreign is None and call.method == "GET":
            return  # without workers a stream of an own job does not end
        answer = self._sent(sender, call)
        if answer is None:
            return
        if call.foreign and sender.kind in SCOPES and not call.operation.startswith(("put_scene", "put_labels")):
            self._compare(sender, call, answer)
        if sender.kind in SCOPES and answer.is_success:
            self._learn(sender.pool, answer)

    def _sent(self, sender: Sender, call: Call) -> httpx.Response | None:
        query: list[tuple[str, str | int | float | bool | None]] = list(call.query)
        if sender.kind == "signed" and sender.pool.words["signature"]:
            query.append(("signature", self.random.choice(sender.pool.words["signature"])))
        try:
            answer = self.http.request(
                call.method, call.path, params=query, headers={**call.headers, **sender.headers}, content=call.body
            )
        except httpx.InvalidURL:
            return None
        except httpx.TransportError as error:
            self.found.fault("broken", f"{call.method} {call.path}: {error!r}")
            return None
        with self.found.lock:
            self.found.calls[sender.kind] += 1
            self.found.statuses[answer.status_code] += 1
        self._judge(sender, call, answer)
        return answer

    def _judge(self, sender: Sender, call: Call, answer: httpx.Response) -> None:
        told = f"{sender.kind} of {sender.pool.tenant}: {call.method} {answer.url.raw_path!r} {call.body!r} -> {answer}"
        said = answer.content + repr(answer.headers).encode()
        for pool in {id(each.pool): each.pool for each in self.senders}.values():
            if pool.canary.encode() in said:
                if pool is sender.pool:
                    self.found.own += 1
                else:
                    self.found.fault("cross-tenant read", f"{told} {answer.text[:300]}")
        owner = self.files.get(hashlib.sha256(answer.content).hexdigest())
        if owner is not None and owner != sender.pool.tenant:
            self.found.fault("cross-tenant read", told)
        # readyz says that there is no worker, and what is too much at once is told so
        if answer.status_code >= 500 and call.operation != "readyz" and "retry-after" not in answer.headers:
            self.found.fault("5xx", f"{told} {answer.text[:300]}")
        if wrong := self._unexpected(sender, call, answer):
            self.found.fault("authorisation", f"{told}: {wrong}; {answer.text[:200]}")

    def _unexpected(self, sender: Sender, call: Call, answer: httpx.Response) -> str:
        """What the table of routes says otherwise; "" if nothing. The routes are those that the app would find."""
        status = answer.status_code
        if sender.kind == "signed":
            return (
                "" if status in (200, 304, 401, 404, 422) or status >= 500 else "a signature allows more than to read"
            )
        name, which = self._route(answer.request)
        public = name is not None and ROUTES[name] is None
        if sender.kind in REFUSED:
            wanted = 200 if public and sender.kind == "none" else 401
            return "" if (status == 401) == (wanted == 401) else f"{wanted} is expected"
        needed = ROUTES[name] if name else None
        if name == "post_execution" and which in WORK:
            needed = ROUTES[WORK[which].route]
        if status == 401:
            return "the key is valid"
        refused = needed is not None and SCOPES.index(sender.kind) < SCOPES.index(needed)
        refused |= name in OPERATORS
        if status == 403 and not refused:
            return "" if name in APPROVAL and sender.kind not in SCOPES[3:] else "the scope allows it"
        if refused and status != 403:
            # JSON is read before it is known whose it is, and an execution before it is known which scope it needs
            early = (400, 404, 415, 422) if name == "post_execution" else (400, 415, 422) if call.body else ()
            return "" if status in early else "403 is expected"
        return ""

    def _route(self, request: httpx.Request) -> tuple[str | None, str]:
        """The name of the route of a request, or None, and the id in its path."""
        for route in self.routes:
            match = route.path_regex.match(request.url.path)
            if match and request.method in (route.methods or ()):
                return str(getattr(route.original_route, "name", "")), match.groupdict().get("id", "")
        return None, ""

    def _compare(self, sender: Sender, call: Call, answer: httpx.Response) -> None:
        """Compare the answer for what another tenant has with the one for what nothing has."""
        assert call.foreign is not None
        twin = self._sent(sender, call.instead(unknown(call.foreign)))
        self.found.pairs += 1
        if twin is None or call.operation.startswith("post_") or call.method == "PUT":
            return  # a second POST may find what the first has made
        said = [each.text.replace(call.foreign, "?").replace(unknown(call.foreign), "?") for each in (answer, twin)]
        if (answer.status_code, said[0]) != (twin.status_code, said[1]):
            self.found.fault(
                "told apart", f"{call.method} {call.path}: {answer} {said[0][:200]} {twin} {said[1][:200]}"
            )

    def _learn(self, pool: Pool, answer: httpx.Response) -> None:
        """Remember what can be tried in later calls."""
        if location := answer.headers.get("location"):
            kind, id_ = (*location.split("/"), "", "")[2:4]
            pool.learn(kind, id_, pool.made)
        if tag := answer.headers.get("etag"):
            pool.learn("etag", tag)
        if answer.headers.get("content-type", "").startswith("application/json"):
            for kind, word in words_of(answer.text):
                pool.learn(kind, unquote(word))


def show(found: Found) -> None:
    """Print the counts."""
    print(f"{found.calls.total()} calls: {dict(sorted(found.calls.items()))}")
    print(f"answers: {dict(sorted(found.statuses.items()))}; with own texts: {found.own}; pairs: {found.pairs}")
    for kind in ("cross-tenant read", "told apart", "5xx", "authorisation", "changed", "broken"):
        print(f"{kind}: {found.faults[kind]}")


if __name__ == "__main__":
    main()
