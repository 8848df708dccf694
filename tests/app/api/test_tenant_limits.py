"""Limits over HTTP: what is refused, how it is told, and that everything is given back, also if clients break off."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.access.meter import Kind
from app.api.http.limits import REFUSED_S
from app.core import tenancy
from app.jobs import lifecycle
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.upkeep import retention
from tests import servers
from tests.app.api.access import OTHER, make_key, showing
from tests.app.api.conftest import TINY, Perform, pixels, put, serving, serving_app
from tests.app.api.test_problems import assert_problem
from tests.ml.conftest import MakeScene
from tests.waiting import eventually

FIELD = re.compile(r'"([a-z-]+)"((?:;[a-z]+=(?:\d+|"[a-z-]+"))+)')  # a string with parameters, of structured fields
PLAN = {"dataset": "gx:1", "config": TINY, "seeds": [0, 1], "variants": [{"name": "ce", "config": {}}]}


def rate_limits(answer: httpx.Response, name: str) -> dict[str, dict[str, str]]:
    """The items of RateLimit or RateLimit-Policy, by their names."""
    items = [FIELD.fullmatch(item.strip()) for item in answer.headers[name].split(",")]
    assert all(items), answer.headers[name]
    return {item[1]: dict(pair.split("=") for pair in item[2][1:].split(";")) for item in items if item}


def assert_refused(answer: httpx.Response, status: int, code: str, limit: str) -> None:
    """The answer is a refusal for a limit, with all that a client needs to know."""
    problem = assert_problem(answer, status)
    assert problem["type"] == code and problem["errors"][0]["hint"]
    policy, left = rate_limits(answer, "ratelimit-policy")[limit], rate_limits(answer, "ratelimit")[limit]
    assert int(policy["q"]) >= int(left["r"]) >= 0
    if status != 413:
        assert answer.headers["retry-after"] == left["t"]


@contextmanager
def connected(http: httpx.Client, start: bytes) -> Iterator[socket.socket]:
    """A connection to the server of `http` that has sent the start of a request, after it was answered or is being."""
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        key = http.headers["authorization"].encode()
        connection.sendall(start.replace(b"\r\n", b"\r\nHost: localhost\r\nAuthorization: " + key + b"\r\n", 1))
        yield connection


class TestOfKeys:
    """These have nothing to do with the database."""

    @pytest.fixture
    def database_url(self, migrated_sqlite: str, tmp_path: Path) -> Iterator[str]:
        with servers.copy_of(migrated_sqlite, tmp_path) as url:
            yield url

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        low = {"limit_requests_per_minute": 600, "limit_uploads": 2, "limit_downloads": 1, "limit_streams": 2}
        return settings.model_copy(update={"auth": "keys", "upload_idle_s": 30.0, **low})

    @pytest.fixture
    def app(self, settings: Settings) -> FastAPI:
        return create_app(settings)

    @pytest.fixture
    def http(self, app: FastAPI, settings: Settings) -> Iterator[httpx.Client]:
        with serving_app(app) as http:
            http.headers.update(showing(make_key(settings, OTHER)))
            yield http

    @pytest.fixture
    def busy(self, app: FastAPI, http: httpx.Client) -> Callable[[Kind], int]:
        """A function that says how many of a kind the key of `http` does now."""
        key_id = http.headers["authorization"].split("_")[1]
        return lambda kind: int(app.state.meter.busy(key_id, kind))

    def test_every_answer_says_what_is_left_of_the_requests(self, http: httpx.Client) -> None:
        for path, status in (("/v1/scenes", 200), ("/v1/scenes/x", 404), ("/v1/nothing", 404)):
            answer = http.get(path)
            assert answer.status_code == status
            assert answer.headers["ratelimit-policy"] == '"requests";q=600;w=60'
            assert 590 <= int(rate_limits(answer, "ratelimit")["requests"]["r"]) < 600
        assert "ratelimit" not in httpx.get(f"{http.base_url}/healthz").headers

    def test_a_flood_is_refused_and_others_are_not(self, settings: Settings) -> None:
        key, other, admin = (showing(make_key(settings, tenant)) for tenant in (OTHER, OTHER, "local"))
        with serving(settings.model_copy(update={"limit_requests_per_minute": 6})) as http:
            answers = [http.get("/v1/whoami", headers=key) for _ in range(8)]
            assert [answer.status_code for answer in answers[:6]] == [200] * 6
            assert_refused(answers[-1], 429, "too-many-requests", "requests")
            assert 0 < int(answers[-1].headers["retry-after"]) <= 10
            told = http.post("/v1/trainings", json={}, headers=key | {"Accept-Language": "zh"})
            assert told.status_code == 429 and "密钥" in told.json()["detail"]
            assert http.get("/v1/whoami", headers=other).status_code == 200
            said = http.get("/metrics", headers=admin).text
            assert re.search(rf'canemap_refusals_total{{limit="requests",tenant="{OTHER}"}} \d+', said)

    @pytest.mark.parametrize("path", ["/events", "?wait=60"])
    def test_a_stream_counts_until_its_client_has_gone(
        self, http: httpx.Client, busy: Callable[[Kind], int], services: Services, path: str
    ) -> None:
        address = f"/v1/jobs/{_waiting_job(services)}"
        start = f"GET {address}{path} HTTP/1.1\r\n\r\n".encode()
        with connected(http, start), connected(http, start):
            eventually(lambda: busy("streams") == 2)
            begin = time.monotonic()
            assert_refused(http.get(f"{address}?wait=1"), 429, "too-many-streams", "streams")
            assert time.monotonic() - begin >= REFUSED_S  # so that nobody makes the service refuse all the time
            assert http.get(address).status_code == 200
        eventually(lambda: busy("streams") == 0)
        assert http.get(f"{address}?wait=0.1").status_code == 200 and busy("streams") == 0

    @pytest.mark.parametrize(
        "head", ["PUT /v1/scenes/x HTTP/1.1", "POST /v1/uploads HTTP/1.1\r\nUpload-Draft-Interop-Version: 8"]
    )
    def test_an_upload_counts_until_its_client_has_gone(
        self, http: httpx.Client, busy: Callable[[Kind], int], head: str
    ) -> None:
        start = f"{head}\r\nUpload-Complete: ?1\r\nContent-Length: 1000000\r\n\r\nII*".encode()
        with connected(http, start), connected(http, start):
            eventually(lambda: busy("uploads") == 2)
            assert_refused(http.put("/v1/scenes/y", content=b"II*"), 429, "too-many-uploads", "uploads")
        eventually(lambda: busy("uploads") == 0)

    def test_a_download_counts_until_its_client_has_gone(
        self, http: httpx.Client, busy: Callable[[Kind], int], make_scene: MakeScene, settings: Settings
    ) -> None:
        assert put(http, "/v1/scenes/s", make_scene(pixels(seed=1), "s.tif")).status_code == 201
        assert http.get("/v1/scenes/s/data").status_code == 200
        for copy in (settings.data_dir / "cache").rglob("*.cog.tif"):
            copy.write_bytes(bytes(64 << 20))  # more than the buffers of both ends hold
        with connected(http, b"GET /v1/scenes/s/data HTTP/1.1\r\n\r\n"):
            eventually(lambda: busy("downloads") == 1)
            assert_refused(http.get("/v1/scenes/s/data"), 429, "too-many-downloads", "downloads")
        eventually(lambda: busy("downloads") == 0)


def _waiting_job(services: Services) -> str:
    with tenancy.acting_for(OTHER), services.database.write() as session:
        return lifecycle.create(session, "trn_waits", "training").id


def limit(http: httpx.Client, **limits: int) -> None:
    """Set limits of the tenant "local"; they hold at once."""
    assert http.put("/v1/tenants/local", json={"limits": limits}).status_code == 200


def used(http: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = http.get("/v1/tenants/local").json()["used"]
    return found


def on_the_disk(settings: Settings) -> int:
    """The bytes of all files of the store, and of those that arrive, but of those from which jobs are resumed."""
    store = settings.data_dir / "store"
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix != ".total"]
    return sum(path.stat().st_size for path in files if "resume" not in path.relative_to(store).parts)


class TestOfTenants:
    @pytest.fixture
    def settings(self, trained: Settings) -> Settings:
        return trained

    def test_a_tenant_reads_what_it_may_use_and_what_it_has_used(self, http: httpx.Client) -> None:
        limit(http, queued_jobs=5, stored_bytes=10**9)
        told = http.get("/v1/tenants/local").json()
        assert told["limits"] | {"queued_jobs": 5, "stored_bytes": 10**9} == told["limits"]
        assert told["limits"]["uploads"] is None and told["limits_in_force"]["uploads"] == 20
        assert told["limits_in_force"]["pixels_per_day"] == 0
        assert told["used"] == {"queued_jobs": 0, "stored_bytes": used(http)["stored_bytes"], "pixels_today": 64 * 64}
        assert http.put("/v1/tenants/local", json={"title": "Ours"}).json()["limits"] == told["limits"]
        wrong = http.put("/v1/tenants/local", json={"limits": {"jobs": 1, "uploads": -1}})
        assert {fault["pointer"] for fault in assert_problem(wrong, 422)["errors"]} == {
            "/limits/jobs",
            "/limits/uploads",
        }

    def test_what_is_counted_is_what_is_on_the_disk(
        self, http: httpx.Client, settings: Settings, services: Services, do: Perform, make_scene: MakeScene
    ) -> None:
        limit(http, stored_bytes=10**9)

        def agree() -> None:
            assert used(http)["stored_bytes"] == on_the_disk(settings)

        agree()
        new = make_scene(pixels(seed=9), "s9.tif")
        for _ in range(2):  # the same bytes again
            put(http, "/v1/scenes/s9", new)
        agree()
        assert http.put("/v1/scenes/bad", content=b"II*\0" * 5000).status_code == 422
        assert put(http, "/v1/scenes/s1", new).status_code == 409
        agree()
        url = http.post("/v1/uploads", headers={"Upload-Length": "9000"}).headers["location"]
        http.patch(url, content=new.read_bytes()[:4000], headers={"Upload-Offset": "0"})
        assert used(http)["stored_bytes"] == on_the_disk(settings) + 5000  # as much as was announced
        assert http.delete(url).status_code == 204
        agree()
        url = http.post("/v1/uploads").headers["location"]
        http.patch(url, content=new.read_bytes(), headers={"Upload-Offset": "0"})
        agree()
        assert http.put("/v1/scenes/s10", params={"upload": url.rpartition("/")[2]}).status_code == 201
        agree()
        lost = http.post("/v1/predictions", json={"scene": "s9", "model": "cane:1", "parts": 1}).json()["id"]
        http.delete(f"/v1/jobs/{lost}")
        agree()
        assert http.post(f"/v1/jobs/{lost}/retry").status_code == 201
        do(lost)
        assert http.get(f"/v1/jobs/{lost}").json()["status"] == "successful"
        agree()
        do(http.post("/v1/trainings", json={"dataset": "gx:1", "register_as": "cane", "config": TINY}).json()["id"])
        with Path(settings.data_dir / "bundle").open("wb") as bundle:
            bundle.write(http.get("/v1/models/cane/versions/2/bundle").content)
        assert http.post("/v1/models/beet/versions", content=Path(bundle.name).read_bytes()).status_code == 201
        agree()
        for path in ("predictions/" + lost, "models/cane", "datasets/gx:1?cascade=true", "scenes/s1", "labels/truth"):
            sign = "&" if "?" in path else "?"
            http.delete(f"/v1/{path}{sign}cascade=true" if "cascade" not in path else f"/v1/{path}")
            agree()
        retention.sweep(services)
        agree()

    def test_a_full_tenant_can_store_nothing_until_it_has_deleted_something(
        self, http: httpx.Client, settings: Settings, make_scene: MakeScene
    ) -> None:
        new = make_scene(pixels(seed=9), "s9.tif").read_bytes()
        stored = used(http)["stored_bytes"]
        limit(http, stored_bytes=stored + len(new) - 1)
        eventually(lambda: http.put("/v1/scenes/s9", content=new).status_code == 507)
        for kind, content in (("known", new), ("unknown", iter([new]))):
            answer = http.put("/v1/scenes/s9", content=content)
            assert_refused(answer, 507, "tenant-storage-full", "stored-bytes")
            assert str(len(new)) in answer.json()["detail"] or kind == "unknown"
        form = http.post("/v1/scenes", data={"id": "s9"}, files={"file": ("s9.tif", new)})
        assert_refused(form, 507, "tenant-storage-full", "stored-bytes")
        url = http.post("/v1/uploads", headers={"Upload-Length": str(len(new))}).headers["location"]
        assert_refused(
            http.patch(url, content=new[:9], headers={"Upload-Offset": "0"}), 507, "tenant-storage-full", "stored-bytes"
        )
        assert http.delete(url).status_code == 204
        huge = http.put("/v1/scenes/s9", content=bytes(stored + len(new)))
        assert_refused(huge, 413, "tenant-storage-full", "stored-bytes")
        assert used(http)["stored_bytes"] == stored == on_the_disk(settings)
        assert http.delete("/v1/labels/truth?cascade=true").status_code == 204
        assert http.put("/v1/scenes/s9", content=new).status_code == 201

    def test_a_body_that_does_not_fit_is_refused_before_it_is_sent(self, http: httpx.Client) -> None:
        limit(http, stored_bytes=1)
        eventually(lambda: http.put("/v1/scenes/x", content=b"II*\0").status_code == 413)
        with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
            connection.settimeout(20)
            connection.sendall(b"PUT /v1/scenes/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 413")

    def test_jobs_of_all_kinds_count_and_are_refused_whole(
        self, http: httpx.Client, services: Services, do: Perform
    ) -> None:
        limit(http, queued_jobs=2)
        before = http.get("/v1/jobs").json()
        requests = (
            ("/v1/experiments", PLAN),  # two runs and what compares them
            ("/v1/predictions", {"scene": "s1", "model": "cane:1", "parts": 1}),
            ("/v1/trainings", {"dataset": "gx:1", "config": TINY}),
            ("/v1/models/cane/versions/1/evaluations", {"dataset": "gx:1"}),
            (
                "/v1/datasets",
                {
                    "name": "gx",
                    "scenes": ["s1", "s2", "s3"],
                    "labels": ["truth"],
                    "leaks": "allow",
                    "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
                },
            ),
        )
        refused = http.post(*requests[0][:1], json=requests[0][1])
        assert_refused(refused, 429, "too-many-jobs", "jobs")
        assert http.get("/v1/jobs").json() == before and http.get("/v1/experiments").json()["items"] == []
        made = [http.post(path, json=body) for path, body in requests[1:3]]
        assert [answer.status_code for answer in made] == [201, 201]
        for path, body in requests:
            assert_refused(http.post(path, json=body), 429, "too-many-jobs", "jobs")
        lost = made[1].json()["id"]
        http.delete(f"/v1/jobs/{lost}")
        assert http.post(*requests[2][:1], json=requests[2][1]).status_code == 201
        assert_refused(http.post(f"/v1/jobs/{lost}/retry"), 429, "too-many-jobs", "jobs")
        assert http.get(f"/v1/jobs/{lost}").json()["status"] == "dismissed"

    def test_a_run_of_a_schedule_that_is_refused_says_so(self, http: httpx.Client) -> None:
        again = {"dataset": "gx", "register_as": "cane", "config": TINY}
        body = {"name": "monthly", "cron": "0 2 1 * *", "timezone": "UTC", "training": again}
        assert http.post("/v1/schedules", json=body).status_code == 201
        assert http.post("/v1/trainings", json={"dataset": "gx:1", "config": TINY}).status_code == 201
        limit(http, queued_jobs=1)
        run = http.post("/v1/schedules/monthly/run").json()
        assert run["status"] == "failed" and "2 jobs of your tenant" in run["message"], run
        assert used(http)["queued_jobs"] == 1

    def test_pixels_of_maps_are_counted_when_they_are_asked_for(self, http: httpx.Client) -> None:
        limit(http, pixels_per_day=2 * 64 * 64)
        body = {"scene": "s1", "model": "cane:1"}
        first = http.post("/v1/predictions", json=body, headers={"Idempotency-Key": "once"})
        assert first.status_code == 201 and used(http)["pixels_today"] == 2 * 64 * 64
        assert http.post("/v1/predictions", json=body, headers={"Idempotency-Key": "once"}).json() == first.json()
        refused = http.post("/v1/predictions", json=body)
        assert_refused(refused, 429, "too-many-pixels", "pixels")
        assert 0 < int(refused.headers["retry-after"]) <= 86_401
        assert used(http)["pixels_today"] == 2 * 64 * 64

    def test_a_result_that_does_not_fit_fails_its_job_which_can_be_tried_again(
        self, http: httpx.Client, settings: Settings, do: Perform
    ) -> None:
        wanted = http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"]
        stored = used(http)["stored_bytes"]
        limit(http, stored_bytes=stored + 10)
        do(wanted)
        job = http.get(f"/v1/jobs/{wanted}").json()
        assert job["status"] == "failed" and job["error"]["type"] == "tenant-storage-full", job
        assert job["error"]["status"] == 507 and used(http)["stored_bytes"] == stored == on_the_disk(settings)
        limit(http, stored_bytes=stored)
        assert_refused(
            http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}),
            507,
            "tenant-storage-full",
            "stored-bytes",
        )
        limit(http, stored_bytes=0)
        assert http.post(f"/v1/jobs/{wanted}/retry").status_code == 201
        do(wanted)
        assert http.get(f"/v1/jobs/{wanted}").json()["status"] == "successful"
        assert used(http)["stored_bytes"] == on_the_disk(settings) > stored


def test_what_a_tenant_sees_of_its_limits_is_its_own(http: httpx.Client, settings: Settings) -> None:
    own, admin = showing(make_key(settings, OTHER)), showing(make_key(settings))
    told = http.get(f"/v1/tenants/{OTHER}", headers=own | {"X-Forwarded-For": "203.0.113.7"})
    assert told.status_code == 200 and json.loads(told.text)["limits_in_force"]["queued_jobs"] == 1000
    assert http.get("/v1/tenants/local", headers=own | {"X-Forwarded-For": "203.0.113.7"}).status_code == 404
    assert http.get(f"/v1/tenants/{OTHER}", headers=admin).json()["used"]["queued_jobs"] == 0
