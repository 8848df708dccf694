"""Limits for clients: bodies, headers and connections that never end or are too large."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from app.api.http.body_limits import DOCUMENT_LIMIT_BYTES
from app.api.http.connections import MOST_UNFINISHED_BYTES, BoundedProtocol


@contextmanager
def connected(http: httpx.Client) -> Iterator[socket.socket]:
    """A TCP connection to the server of `http`."""
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        connection.settimeout(20)
        yield connection


def test_a_document_over_the_limit_is_refused(http: httpx.Client) -> None:
    body = b'{"name": "' + b"x" * DOCUMENT_LIMIT_BYTES + b'"}'
    answer = http.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "body-too-large")
    assert http.get("/healthz").status_code == 200


def test_a_document_that_stalls_is_answered_with_408(http: httpx.Client) -> None:
    with connected(http) as connection:
        head = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: 99\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_body_that_arrives_too_slowly_is_answered_with_408(http: httpx.Client) -> None:
    with connected(http) as connection:
        connection.sendall(b"PUT /v1/scenes/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        connection.settimeout(0.1)  # seconds between pieces; the limit of the tests is 1 s
        for _ in range(100):
            connection.sendall(b"II*\0")
            try:
                answer = connection.recv(1000)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_slow_body_above_the_least_rate_is_accepted(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(8):
            yield b" " * 1024
            time.sleep(0.2)  # together more than 1 s, the limit of the tests
        yield b"{}"

    answer = http.post("/v1/datasets", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.json()["type"] == "invalid-request"


@pytest.mark.parametrize("start", [b"GET /healthz?", b"GET /healthz HTTP/1.1\r\nX: "])
def test_headers_that_do_not_end_are_refused(http: httpx.Client, start: bytes) -> None:
    with connected(http) as connection:
        connection.sendall(start + b"x" * (MOST_UNFINISHED_BYTES - 1000))
        time.sleep(0.2)
        connection.sendall(b"x" * 2000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_connection_without_a_complete_request_is_closed(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_s", 0.3)
    for start in (b"", b"GET /healthz HT"):
        with connected(http) as connection:
            connection.sendall(start)
            assert connection.recv(1000) == b""


def test_more_requests_at_once_than_the_database_has_connections_are_all_answered(http: httpx.Client) -> None:
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(lambda _: http.get("/v1/trainings").status_code, range(400)))
    assert set(answers) == {200}
