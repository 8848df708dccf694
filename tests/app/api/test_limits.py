"""Limits for clients: bodies, headers and connections that never end or are too large."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from app.api.http.body_limits import DOCUMENT_LIMIT_BYTES
from app.api.http.connections import MOST_UNFINISHED_BYTES, BoundedProtocol
from app.client import id_of_file
from tests.waiting import eventually


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


@pytest.mark.parametrize(
    ("start", "hint"),
    [
        ("GET /v1/scenes/甘蔗 HTTP/1.1\r\nHost: localhost\r\n\r\n", "percent-encoding"),
        ("PUT /v1/scenes/甘蔗2018?title=甘蔗 HTTP/1.1\r\nHost: localhost\r\n\r\n", id_of_file("甘蔗2018")),
        ("\x16\x03\x01\x02", "HTTPS"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1"),
    ],
)
def test_bytes_that_are_no_request_are_answered_with_a_problem_document(
    http: httpx.Client, start: str, hint: str
) -> None:
    with connected(http) as connection:
        connection.sendall(start.encode())
        head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert (problem["type"], problem["status"]) == ("malformed-request", 400)
    assert hint in problem["errors"][0]["hint"]


def test_a_connection_without_a_complete_request_is_closed(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_s", 0.3)
    for start in (b"", b"GET /healthz HT"):
        with connected(http) as connection:
            connection.sendall(start)
            assert connection.recv(1000) == b""


def test_a_client_that_does_not_read_is_dropped(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "write_s", 0.3)
    with connected(http) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(TimeoutError):  # its own buffers are full as well, some time later
            connection.settimeout(1)
            for _ in range(2000):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: was_dropped(connection), seconds=8)
    assert http.get("/healthz").status_code == 200


def was_dropped(connection: socket.socket) -> bool:
    """Whether the other side has reset the connection, although not everything that it sent was read."""
    try:
        connection.send(b"x")
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # no database is asked
def test_a_client_that_reads_slowly_but_steadily_gets_everything(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "write_s", 0.5)
    whole = http.get("/openapi.json").content
    with connected(http) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lines = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(lines + b"\r\n" + lines + b"Connection: close\r\n\r\n")
        received = bytearray()
        while chunk := connection.recv(65536):
            received += chunk
            time.sleep(0.005)  # together several times what a write may take
    assert received.count(whole) == 2


def test_other_clients_are_refused_politely_and_health_is_answered_when_one_holds_all_connections(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.http.connections.MOST_OF_A_PEER", 20)
    monkeypatch.setattr("app.api.http.connections.RESERVE", 10)
    url = str(http.base_url).rstrip("/")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(http)).sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n")
        with httpx.Client(base_url=http.base_url) as late:
            refused = late.get("/v1/jobs")
            assert (refused.status_code, refused.json()["type"]) == (503, "too-many-connections")
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"].isdecimal()
            assert late.get("/healthz").status_code == 200
        with pytest.raises(httpx.TransportError), ExitStack() as more:
            for _ in range(12):
                more.enter_context(connected(http))
            httpx.get(f"{url}/healthz")
    eventually(lambda: httpx.get(f"{url}/v1/jobs").status_code == 200)


def test_more_requests_at_once_than_the_database_has_connections_are_all_answered(http: httpx.Client) -> None:
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(lambda _: http.get("/v1/trainings").status_code, range(400)))
    assert set(answers) == {200}
