"""The customers: they order work over HTTP, insist until they are answered, and note down what they were told."""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.soak.history import FINAL, Order

Json = dict[str, Any]
PATIENCE_S = 30.0  # for one answer
HASTE_S = 0.02  # of who hangs up before the answer: perhaps the order was accepted, perhaps not
POLL_S = 0.4
AWAY = (429, 503)


class Closed(Exception):
    """Time is up: whoever still waits goes home."""


@dataclass(frozen=True)
class Menu:
    """What can be ordered, and how customers behave, as shares of all orders."""

    prediction: Json
    training: Json
    trainings: float = 0.02
    dismissed: float = 0.05
    repeated: float = 0.1
    hasty: float = 0.1


@dataclass
class Customers:
    """So many threads, each with one order at a time. orders: the notes of all of them."""

    urls: Sequence[str]
    menu: Menu
    count: int
    seed: int
    orders: list[Order] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    status_s: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # answers that no storm explains
    served: int = 0
    admitted: int = 0  # so many orders may be given until now: raised as the storm goes on, so that neither ends first
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, crowd: int) -> None:
        """Let `crowd` customers in."""
        self._threads = [threading.Thread(target=self._stay, args=(number,)) for number in range(crowd)]
        for thread in self._threads:
            thread.start()

    @property
    def gone(self) -> bool:
        """Whether all orders were given, and each customer has gone."""
        return not any(thread.is_alive() for thread in self._threads)

    def take_no_more(self) -> None:
        """No new orders; those that were given are still followed."""
        self.count = 0

    def close(self) -> None:
        """Send everybody home, served or not."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _stay(self, number: int) -> None:
        with httpx.Client(timeout=PATIENCE_S) as http:
            while order := self._next():
                try:
                    # the same orders from the same seed, whoever gives them
                    _Customer(self, http, Random(f"{self.seed} {order.key}"), order).be_served()
                except Closed:
                    return
                with self._lock:
                    self.served += 1

    def _next(self) -> Order | None:
        while len(self.orders) < self.count and not self._closed.is_set():
            with self._lock:
                if len(self.orders) < min(self.admitted, self.count):
                    self.orders.append(Order(f"soak-{self.seed}-{len(self.orders)}"))
                    return self.orders[-1]
            time.sleep(0.05)
        return None


@dataclass
class _Customer:
    """One order, from the POST to the last byte of its product."""

    house: Customers
    http: httpx.Client
    random: Random
    order: Order

    def be_served(self) -> None:
        """Order, perhaps twice, perhaps dismiss, wait for the end, and look at what came."""
        menu = self.house.menu
        kind = "trainings" if self.random.random() < menu.trainings else "predictions"
        body = menu.training if kind == "trainings" else menu.prediction
        repeated, dismissed, hasty = (
            self.random.random() < share for share in (menu.repeated, menu.dismissed, menu.hasty)
        )
        if hasty:
            self._hang_up(kind, body)
        self._post(kind, body)
        if repeated:
            self._post(kind, body)
        if dismissed:
            self._dismiss(self.random.uniform(0, 2))
        self._wait()
        if repeated:  # also when all is over
            self._post(kind, body)
        self.order.products = self._products(kind)

    def _post(self, kind: str, body: Json) -> None:
        answer, seconds = self._insist("POST", f"/v1/{kind}", (201,), json=body, headers=self._key)
        self.order.ids.append(answer.json()["id"])
        self.house.submit_s.append(seconds)

    def _hang_up(self, kind: str, body: Json) -> None:
        try:
            url = self.random.choice(self.house.urls)
            self.http.post(f"{url}/v1/{kind}", json=body, headers=self._key, timeout=HASTE_S)
        except httpx.TransportError:
            pass  # whatever it was: the same order comes again

    @property
    def _key(self) -> Mapping[str, str]:
        return {"Idempotency-Key": self.order.key}

    def _dismiss(self, after_s: float) -> None:
        time.sleep(after_s)
        self.order.dismissed = True
        self._insist("DELETE", f"/v1/jobs/{self.order.ids[0]}", (200, 409))  # 409: it has ended before

    def _wait(self) -> None:
        while self.order.seen is None:
            answer, seconds = self._insist("GET", f"/v1/jobs/{self.order.ids[0]}", (200,))
            self.house.status_s.append(seconds)
            status = answer.json()["status"]
            if status in FINAL:
                self.order.seen = status
            else:
                time.sleep(POLL_S)

    def _products(self, kind: str) -> dict[str, tuple[str, str]]:
        """By name the sha256 that the service states, and that of the bytes it gives; {} when it gives none."""
        made = self._get(f"/v1/{kind}/{self.order.ids[0]}")
        if kind == "trainings":
            if made["model"] is None:
                return {}
            url = "/v1/models/{name}/versions/{version}".format(**made["model"])
            assets = {f"{url}/bundle": self._get(url)["file:checksum"]}
        else:
            assets = {
                f"/v1/{kind}/{self.order.ids[0]}/{quote(name)}": asset["file:checksum"]
                for name, asset in made["assets"].items()
            }
        return {url: (stated.removeprefix("1220"), self._sum(url)) for url, stated in assets.items()}

    def _sum(self, url: str) -> str:
        return hashlib.sha256(self._insist("GET", url, (200,))[0].content).hexdigest()

    def _get(self, url: str) -> Json:
        document: Json = self._insist("GET", url, (200,))[0].json()
        return document

    def _insist(self, method: str, path: str, wanted: Sequence[int], **more: Any) -> tuple[httpx.Response, float]:
        """Ask one API or another until one answers as wanted; the answer, and the seconds of the last try."""
        while not self.house._closed.is_set():
            start = time.monotonic()
            try:
                answer = self.http.request(method, self.random.choice(self.house.urls) + path, **more)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code in wanted:
                return answer, time.monotonic() - start
            if answer.status_code not in AWAY:
                self.house.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            time.sleep(0.5)
        raise Closed
