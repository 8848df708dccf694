"""Simulated customers: they send orders over HTTP, repeat each request until it is answered, and note the answers."""

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
ANSWER_S = 30.0  # a customer waits so long for one answer
BREAK_OFF_S = 0.02  # a hasty customer breaks off before the answer: the order may have been accepted or not
POLL_S = 0.4
AWAY = (429, 503)


class Closed(Exception):
    """The soak ends: customers that still wait give up."""


@dataclass(frozen=True)
class Menu:
    """Bodies of the requests, and shares of the orders that are trainings, dismissed, repeated, or broken off."""

    prediction: Json
    training: Json
    trainings: float = 0.02
    dismissed: float = 0.05
    repeated: float = 0.1
    hasty: float = 0.1


@dataclass
class Customers:
    """The customers, each a thread with one order at a time.

    count: Number of orders in all. orders: The orders of all customers with what the customers noted. submit_s,
    status_s: Seconds of each POST and of each GET of a job. strange: Answers that no blow explains. served: Number of
    orders that are complete. admitted: Number of orders that may be sent until now; it grows with the blows, so that
    orders and blows end together.
    """

    urls: Sequence[str]
    menu: Menu
    count: int
    seed: int
    orders: list[Order] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    status_s: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    served: int = 0
    admitted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, crowd: int) -> None:
        """Start `crowd` customers."""
        self._threads = [threading.Thread(target=self._stay, args=(number,)) for number in range(crowd)]
        for thread in self._threads:
            thread.start()

    @property
    def gone(self) -> bool:
        """Whether all orders were sent and every customer has ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def take_no_more(self) -> None:
        """Send no new orders; orders that were sent are still completed."""
        self.count = 0

    def close(self) -> None:
        """End all customers, also those whose order is not complete."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _stay(self, number: int) -> None:
        with httpx.Client(timeout=ANSWER_S) as http:
            while order := self._next():
                try:
                    # the same seed gives the same orders, whichever thread sends them
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
    """A customer with one order, from the POST to the last byte of the product."""

    customers: Customers
    http: httpx.Client
    random: Random
    order: Order

    def be_served(self) -> None:
        """Send the order, perhaps repeat or dismiss it, wait for its end, and fetch its products."""
        menu = self.customers.menu
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
        if repeated:  # also after the job has ended
            self._post(kind, body)
        self.order.products = self._products(kind)

    def _post(self, kind: str, body: Json) -> None:
        answer, seconds = self._insist("POST", f"/v1/{kind}", (201,), json=body, headers=self._key)
        self.order.ids.append(answer.json()["id"])
        self.customers.submit_s.append(seconds)

    def _hang_up(self, kind: str, body: Json) -> None:
        try:
            url = self.random.choice(self.customers.urls)
            self.http.post(f"{url}/v1/{kind}", json=body, headers=self._key, timeout=BREAK_OFF_S)
        except httpx.TransportError:
            pass  # whatever the error was, the same order is sent again

    @property
    def _key(self) -> Mapping[str, str]:
        return {"Idempotency-Key": self.order.key}

    def _dismiss(self, after_s: float) -> None:
        time.sleep(after_s)
        self.order.dismissed = True
        self._insist("DELETE", f"/v1/jobs/{self.order.ids[0]}", (200, 409))  # 409: the job has ended before

    def _wait(self) -> None:
        while self.order.seen is None:
            answer, seconds = self._insist("GET", f"/v1/jobs/{self.order.ids[0]}", (200,))
            self.customers.status_s.append(seconds)
            status = answer.json()["status"]
            if status in FINAL:
                self.order.seen = status
            else:
                time.sleep(POLL_S)

    def _products(self, kind: str) -> dict[str, tuple[str, str]]:
        """By URL, the sha256 that the service states and that of the received bytes; {} if there is no product."""
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
        """Repeat a request, each time to a random API, until its status is in `wanted`.

        Returns the answer and the seconds of the last try. Raises `Closed` when the soak ends.
        """
        while not self.customers._closed.is_set():
            start = time.monotonic()
            try:
                answer = self.http.request(method, self.random.choice(self.customers.urls) + path, **more)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code in wanted:
                return answer, time.monotonic() - start
            if answer.status_code not in AWAY:
                self.customers.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            time.sleep(0.5)
        raise Closed
