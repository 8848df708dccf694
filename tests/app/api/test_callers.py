"""What a web page of a stranger may cause: nothing that changes, and nothing under a name of its own."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from tests import servers
from tests.app.api.conftest import on, serving
from tests.app.api.test_problems import assert_problem

JSON = "application/json"
ORIGINS = [
    "http://evil.example",
    "https://evil.example",
    "null",
    "http://127.0.0.1",
    "http://localhost:1",
    "file://",
    "",
]


@pytest.fixture(scope="module")
def settings(migrated_sqlite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a service behind a proxy. Only SQLite: no refused request reaches the database."""
    folder = tmp_path_factory.mktemp("callers")
    names = {"allowed_hosts": "maps, Maps.Internal.", "public_url": "https://maps.example/c", "auth": "none"}
    with servers.copy_of(migrated_sqlite, folder) as url:
        yield on(url).model_copy(update=names | {"data_dir": folder / "data"})


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx.Client]:
    """A client of one server for all tests, since refused requests change nothing."""
    with serving(settings) as client:
        yield client


def ask(http: httpx.Client, *lines: str, method: str = "GET", path: str = "/v1/jobs") -> str:
    """The status line of the answer to a request with exactly these headers."""
    address = (http.base_url.host, http.base_url.port or 0)
    with socket.create_connection(address, timeout=20) as connection:
        head = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", *lines, "Connection: close"))
        connection.sendall(f"{head}\r\n".encode())
        return connection.makefile("rb").read().decode()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost", "localhost.", "localhost:8000", "127.0.0.1", "127.0.0.9:1", "[::1]", "[::1]:8000"),
        *("maps", "maps:80", "maps.internal", "maps.example", "MAPS.example:443"),
    ],
)
def test_the_service_answers_under_its_own_names(http: httpx.Client, host: str) -> None:
    assert ask(http, f"Host: {host}").startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:80",
            "8.8.8.8",
            "[2001::1]",
        ),
        *("", "localhost:80:80", "localhost@evil", "evil localhost", "[::1", "::1", "local/host", "localhost,evil"),
        *("maps.example.evil", "maps.example:x", "0.0.0.0"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/docs", "/openapi.json", "/healthz", "/nowhere"])
def test_under_any_other_name_it_does_not(http: httpx.Client, host: str, path: str) -> None:
    answer = ask(http, f"Host: {host}", path=path)
    assert answer.startswith("HTTP/1.1 400")
    assert "application/problem+json" in answer


def test_a_request_names_its_host_once(http: httpx.Client) -> None:
    assert ask(http).startswith("HTTP/1.1 400")
    assert ask(http, "Host: localhost", "Host: localhost").startswith("HTTP/1.1 400")
    assert ask(http, "Host: localhost", "Host: evil.example").startswith("HTTP/1.1 400")
    assert ask(http, "Host: evil.example", "X-Forwarded-Host: localhost").startswith("HTTP/1.1 400")


def test_the_refusal_of_a_name_says_how_to_allow_it(http: httpx.Client) -> None:
    problem = assert_problem(http.get("/v1/jobs", headers={"Host": "evil.example"}), 400)
    assert problem["type"] == "unknown-host"
    assert "CANEMAP_ALLOWED_HOSTS" in problem["errors"][0]["hint"]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/v1/{kind}") for kind in ("scenes", "labels", "uploads", "datasets", "trainings", "predictions")),
        *(("POST", "/v1/models/m/versions"), ("PUT", "/v1/scenes/s"), ("PATCH", "/v1/scenes/s")),
        *(
            ("DELETE", "/v1/scenes/s"),
            ("DELETE", "/v1/jobs/j"),
            ("PUT", "/v1/models/m/aliases/a"),
            ("POST", "/nowhere"),
        ),
    ],
)
def test_a_page_of_another_site_can_change_nothing(http: httpx.Client, method: str, path: str, origin: str) -> None:
    problem = assert_problem(http.request(method, path, headers={"Origin": origin}, content=b"x"), 403)
    assert problem["type"] == "foreign-origin"
    assert "CANEMAP_PUBLIC_URL" in problem["errors"][0]["hint"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", ""])
def test_a_request_that_the_browser_calls_foreign_can_change_nothing(http: httpx.Client, site: str) -> None:
    assert_problem(http.post("/v1/uploads", headers={"Sec-Fetch-Site": site}), 403)


def test_no_form_and_no_simple_request_of_another_site_is_accepted(http: httpx.Client) -> None:
    headers = {"Origin": "http://evil.example"}
    assert_problem(http.post("/v1/scenes", data={"id": "s"}, files={"file": b"x"}, headers=headers), 403)
    text = headers | {"Content-Type": "text/plain"}
    assert_problem(http.post("/v1/trainings", content=json.dumps({"dataset": "x"}), headers=text), 403)


def test_a_page_of_the_service_itself_may_change_things(http: httpx.Client) -> None:
    own = f"http://{http.base_url.host}:{http.base_url.port}"
    for origin in (own, "https://maps.example", "https://MAPS.example:443"):
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert http.post("/v1/uploads", headers=headers).status_code == 201
    assert http.post("/v1/uploads", headers={"Sec-Fetch-Site": "none"}).status_code == 201


def test_a_page_of_another_site_cannot_read_an_answer(http: httpx.Client) -> None:
    for path in ("/v1/jobs", "/openapi.json", "/healthz"):
        answer = http.get(path, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 200, "a browser keeps it from the page"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = http.options(
        "/v1/jobs", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    )
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_links_have_the_public_address(http: httpx.Client, services: Services) -> None:
    with services.database.write() as session:
        for name in ("one", "two"):
            lifecycle.create(session, name, "prediction")
    page = http.get("/v1/jobs", params={"limit": 1}, headers={"X-Forwarded-Host": "evil.example"})
    assert page.headers["link"].startswith("<https://maps.example/c/v1/jobs?limit=1&token=")


def test_an_address_is_checked_when_the_service_starts() -> None:
    for url in ("maps.example", "ftp://maps", "https://", "https://maps?x=1"):
        with pytest.raises(ValueError, match="write an address"):
            Settings(public_url=url)


def test_a_service_without_settings_answers_to_the_loopback_alone(settings: Settings) -> None:
    plain = settings.model_copy(update={"allowed_hosts": "", "public_url": ""})
    with serving(plain) as http:
        assert ask(http, "Host: localhost").startswith("HTTP/1.1 200")
        assert ask(http, "Host: maps").startswith("HTTP/1.1 400")
        assert_problem(http.post("/v1/uploads", headers={"Origin": "https://maps.example"}), 403)
