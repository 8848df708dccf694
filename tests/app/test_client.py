"""The requests of the client, received by a real HTTP server that returns prepared answers."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.client import CanemapError, Client, JobDismissed, JobFailed

Answer = tuple[int, dict[str, str], Any]
BUSY: Answer = (503, {"Retry-After": "0"}, {"status": 503, "detail": "The database is away."})
DONE = {"jobID": "x", "processID": "dataset", "stage": "", "done": 1, "total": 1, "eta_s": None, "progress": 100}


@dataclass
class Wire:
    """A server that returns prepared answers and records the requests."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Record a request and send the next answer. The last answer is repeated."""
        if request.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        else:
            body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.requests.append((request.command, request.path, dict(request.headers), body))
        status, headers, document = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A running server without prepared answers yet."""
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):  # the method for GET requests is do_GET, and so on
                return lambda: wire.answer(self)
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        wire.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # poll interval, in seconds
        thread.start()
        yield wire
        server.shutdown()
        thread.join()


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    """A client of the server."""
    with Client(wire.url) as client:
        yield client


def job(status: str, **more: Any) -> Answer:
    return 200, {}, {**DONE, "status": status, **more}


def test_a_name_with_a_slash_leads_to_no_other_address(wire: Wire) -> None:
    wire.answers = [(200, {}, DONE)]
    with Client(wire.url) as client:
        client.job("x/../../scenes?y#z")
        client.dismiss("a/b:1")
    assert [request[1] for request in wire.requests] == ["/v1/jobs/x%2F..%2F..%2Fscenes%3Fy%23z", "/v1/jobs/a%2Fb%3A1"]


def test_a_request_for_work_is_repeated_with_the_same_idempotency_key(wire: Wire, client: Client) -> None:
    wire.answers = [BUSY, (201, {}, {"id": "x", "job": {"status": "accepted"}})]
    assert client.train("gx:1", register_as="cane").status == "accepted"
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in wire.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_two_requests_for_work_have_two_keys(wire: Wire, client: Client) -> None:
    wire.answers = [(201, {}, {"id": "x", "job": {"status": "accepted"}})]
    client.predict("s1", model="cane")
    client.predict("s1", model="cane")
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in wire.requests}) == 2


def test_the_differences_of_two_maps_are_listed_with_their_causes(wire: Wire, client: Client) -> None:
    def mapped(sha256: str, **software: str) -> Answer:
        model = {"name": "cane", "version": 1}
        assets = {"classes.tif": {"file:checksum": sha256}}
        return 200, {}, {"id": "p", "assets": assets, "properties": {"model": model, "software": software}}

    def differences(*answers: Answer) -> list[str]:
        wire.answers = [*answers, *answers]
        return client.prediction("p1").differences(client.prediction("p2"))

    native, torch = {"engine": "native 01", "torch": "2.13"}, {"engine": "torch 2.13", "torch": "2.13"}
    assert differences(mapped("a", **native), mapped("a", **torch)) == []
    causes = ["classes.tif differs", "engine was native 01, is torch 2.13"]
    assert differences(mapped("a", **native), mapped("b", **torch)) == causes
    assert differences(mapped("a", **native), mapped("b", **native))[1:] == ["what made them is the same"]
    assert differences(mapped("a"), mapped("b", engine="native 01"))[1:] == ["engine was None, is native 01"]


def test_a_repeated_upload_sends_the_whole_file_again(wire: Wire, client: Client, tmp_path: Path) -> None:
    (tmp_path / "s1.tif").write_bytes(b"pixels" * 100_000)
    wire.answers = [BUSY, (201, {}, {"id": "s1"})]
    client.upload_scene(tmp_path / "s1.tif", acquired="2018-10-12", bands=["b", "g"])
    assert [len(body) for *_, body in wire.requests] == [600_000, 600_000]
    method, path, headers, _ = wire.requests[0]
    assert (method, path) == ("PUT", "/v1/scenes/s1?acquired=2018-10-12&bands=b%2Cg")
    assert headers["Content-Digest"].startswith("sha-256=:")


def test_an_import_is_repeated_with_the_same_key_and_bytes(wire: Wire, client: Client, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"tensors")
    wire.answers = [BUSY, (201, {}, {"version": 1})]
    assert client.import_model("cane", tmp_path / "model") == {"version": 1}
    first, second = wire.requests
    assert first[2]["Idempotency-Key"] == second[2]["Idempotency-Key"] != ""
    assert first[3] == second[3] == b"tensors"


def test_a_refusal_lists_each_fault_with_its_hint_and_is_not_repeated(wire: Wire, client: Client) -> None:
    faults = [
        {"pointer": "/scene", "code": "wrong_bands", "detail": "3 bands, not 4.", "hint": "Send 4."},
        {"pointer": "", "code": "wrong_dtype", "detail": "uint8, not uint16.", "hint": "Send uint16."},
    ]
    wire.answers = [(422, {}, {"type": "contract-mismatch", "status": 422, "detail": "No.", "errors": faults})]
    with pytest.raises(CanemapError) as caught:
        client.predict("s1", model="cane")
    assert str(caught.value) == "/scene: 3 bands, not 4. Send 4.\nthe input: uint8, not uint16. Send uint16."
    assert (caught.value.status, caught.value.type) == (422, "contract-mismatch")
    assert len(wire.requests) == 1


def test_an_error_without_a_problem_document_is_reported_too(wire: Wire, client: Client) -> None:
    wire.answers = [(502, {}, b"<html>a proxy")]
    with pytest.raises(CanemapError, match="502 Bad Gateway"):
        client.job("x")


@pytest.mark.parametrize(("status", "error"), [("failed", JobFailed), ("dismissed", JobDismissed)])
def test_waiting_for_work_that_does_not_succeed_raises(
    wire: Wire, client: Client, status: str, error: type[CanemapError]
) -> None:
    wire.answers = [
        (201, {}, {"id": "x", "job": {"status": "accepted"}}),
        job("running"),
        job(status, error={"type": "worker-lost", "status": 500, "detail": "Its worker died three times."}),
    ]
    with pytest.raises(error):
        client.create_dataset("gx", scenes=["s1"], labels=["plots"], train=["s1"]).wait()


def test_waiting_is_a_long_poll_that_ends_at_the_timeout(wire: Wire, client: Client) -> None:
    wire.answers = [(201, {}, {"id": "x", "job": {"status": "accepted"}}), job("running")]
    with pytest.raises(TimeoutError, match="still running"):
        client.train("gx:1").wait(timeout_s=0)
    assert wire.requests[-1][1] == "/v1/jobs/x?wait=30"


def test_progress_is_shown_on_standard_error(wire: Wire, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = {"id": "x", "job": {"status": "accepted"}}
    wire.answers = [
        (201, {}, accepted),
        job("running", stage="rasterise", eta_s=7.0),
        job("successful"),
        (200, {}, accepted),
    ]
    client.create_dataset("gx", scenes=["s1"], labels=["plots"], train=["s1"]).wait(progress=True)
    shown = capsys.readouterr().err
    assert "dataset running rasterise 1/1, about 7 s left" in shown
    assert shown.endswith("\n")


def test_a_list_fetches_all_its_pages(wire: Wire, client: Client) -> None:
    wire.answers = [(200, {}, {"items": [{"id": 1}], "next": "t"}), (200, {}, {"items": [{"id": 2}], "next": None})]
    assert [item["id"] for item in client.jobs(status="running")] == [1, 2]
    assert wire.requests[1][1] == "/v1/jobs?token=t&status=running"


def test_a_download_that_breaks_off_is_repeated(wire: Wire, client: Client, tmp_path: Path) -> None:
    broken: Answer = (200, {"Content-Length": "100", "Connection": "close"}, b"half")
    wire.answers = [broken, (200, {}, b"whole")]
    assert client.export_model("cane", tmp_path / "new" / "cane.safetensors").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cane.safetensors"]


def test_a_refused_download_raises_the_reason(wire: Wire, client: Client, tmp_path: Path) -> None:
    wire.answers = [(404, {}, {"status": 404, "type": "result-not-ready", "detail": "It is still running."})]
    with pytest.raises(CanemapError, match="still running"):
        client.export_model("cane", tmp_path / "cane.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_url_and_the_key_are_read_from_the_environment(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANEMAP_URL", wire.url + "/")
    monkeypatch.setenv("CANEMAP_KEY", "secret")
    wire.answers = [job("running")]
    with Client() as client:
        client.job("x")
    assert wire.requests[0][2]["Authorization"] == "Bearer secret"


def test_a_service_that_cannot_be_reached_is_not_ready() -> None:
    with Client("http://127.0.0.1:9") as client:
        assert not client.ready()


FULL = {"type": "too-many-jobs", "status": 429, "detail": "Many jobs wait.", "errors": []}


def test_a_refusal_for_a_limit_is_tried_again_after_the_time_that_the_service_names(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "canemap")
    wire.answers = [(429, {"Retry-After": "0"}, FULL), (201, {}, {"id": "trn_1", "job": {}})]
    with Client(wire.url) as client:
        assert client.train("gx:1").id == "trn_1"
    assert len({request[2]["Idempotency-Key"] for request in wire.requests}) == 1
    assert [record.getMessage() for record in caplog.records] == ["Many jobs wait. Trying again in 0 s."]


def test_a_refusal_that_holds_for_hours_is_told_at_once(wire: Wire) -> None:
    wire.answers = [(429, {"Retry-After": "30000"}, FULL)]
    with Client(wire.url) as client, pytest.raises(CanemapError, match="Many jobs wait") as refused:
        client.train("gx:1")
    assert (len(wire.requests), refused.value.status, refused.value.retry_after_s) == (1, 429, 30000)


def test_whoever_waits_for_a_job_goes_on_while_too_many_do(wire: Wire) -> None:
    busy: Answer = (429, {"Retry-After": "0"}, FULL)
    wire.answers = [*[busy] * 12, (200, {}, {**DONE, "status": "successful"})]
    with Client(wire.url) as client:
        assert client.wait("x")["status"] == "successful"
    assert len(wire.requests) == 13
