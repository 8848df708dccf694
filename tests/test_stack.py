"""The containers: their files are well formed, and their commands work as they are written."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import TypeAdapter

from app.client import Client
from app.jobs.kinds import QUEUES
from app.settings import Settings
from ml.synthetic import make_scene
from tests import servers

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OURS = ("migrate", "api", "worker-maps", "worker-cpu", "worker-gpu", "beat")
READY_S = 240.0  # a busy machine starts five processes slowly


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return TypeAdapter(dict[str, Any]).validate_python(yaml.safe_load(COMPOSE.read_text()))


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed: run `make setup`")
    return found


def test_the_compose_file_satisfies_its_schema() -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_no_lint_errors() -> None:
    done = subprocess.run([tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_service_has_a_fixed_image_few_rights_and_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name == "migrate" or service["healthcheck"]["test"], name
        if "build" not in service:
            assert service["image"].partition(":")[2] not in ("", "latest"), name
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["user"] == "10001:10001", name
        assert all(not volume.startswith((".", "/")) for volume in service.get("volumes", ())), name


def test_ports_are_published_only_on_the_loopback_of_the_host(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_process_has_a_bound_of_memory_and_its_log_one_of_size(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert name == "migrate" or service["mem_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name


def test_one_command_without_a_profile_starts_a_worker_for_each_queue(compose: dict[str, Any]) -> None:
    queues = [
        service["command"][-1]
        for service in compose["services"].values()
        if service.get("command", [])[:2] == ["canemap", "worker"] and "profiles" not in service
    ]
    assert sorted(",".join(queues).split(",")) == sorted(QUEUES)
    assert compose["services"]["worker-gpu"]["profiles"] == ["gpu"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder of secrets, as the script for users writes it."""
    folder = tmp_path / "secrets"
    subprocess.run(["sh", ROOT / "deploy" / "secrets.sh", folder], check=True)
    return folder


def test_secrets_are_files_that_other_users_cannot_reach(compose: dict[str, Any], secrets: Path) -> None:
    assert {path.name for path in secrets.iterdir()} == compose["secrets"].keys()
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert all(path.stat().st_mode & stat.S_IROTH for path in secrets.iterdir()), "for the users of the containers"
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    subprocess.run(["sh", ROOT / "deploy" / "secrets.sh", secrets], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert before["postgres_password"] in before["canemap_database_url"]
    texts = [(ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml")]
    assert not [word for word in ("PASSWORD:", "SECRET_ACCESS", "ACCESS_KEY") for text in texts if word in text]


def test_all_settings_of_the_compose_file_exist(compose: dict[str, Any]) -> None:
    known = {f"CANEMAP_{name.upper()}" for name in Settings.model_fields} | {"CANEMAP_SECRETS_DIR"}
    assert {name for name in compose["x-environment"] if name.startswith("CANEMAP_")} <= known


def test_the_build_context_has_exactly_the_files_that_the_dockerfile_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_services_that_need_no_torch_run_in_an_image_without_it(compose: dict[str, Any]) -> None:
    """test_architecture.py proves that these services need no torch."""
    assert {compose["services"][name]["build"]["target"] for name in ("api", "migrate", "beat")} == {"api"}


class Containers:
    """The services of the compose file as processes of this machine: the same commands with other hosts and ports."""

    def __init__(self, compose: dict[str, Any], folder: Path, environment: dict[str, str], port: int) -> None:
        self.services = compose["services"]
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environment = {**inherited, **environment, "OMP_NUM_THREADS": "1", "CANEMAP_SWEEP_S": "1"}
        self.port = port

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command of a container, changed to use this Python, the loopback and a free port."""
        here = {"canemap": [sys.executable, "-m", "app.cli"], "python": [sys.executable]}
        moved = [argument.replace(":8000/", f":{self.port}/") for argument in argv[1:]]
        other = {"0.0.0.0": "127.0.0.1", "8000": str(self.port)}
        return [*here[argv[0]], *(other.get(argument, argument) for argument in moved)]

    def env(self, name: str) -> dict[str, str]:
        return {**self.environment, "CANEMAP_DATA_DIR": str(self.folder / name)}

    def run(self, name: str) -> int:
        command = self.command(self.services[name]["command"])
        return subprocess.run(command, env=self.env(name), cwd=ROOT, check=False).returncode

    def healthy(self, name: str) -> bool:
        kind, *argv = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(self.command(argv), env=self.env(name), cwd=ROOT, capture_output=True, check=False)
        return done.returncode == 0

    @contextmanager
    def up(self, name: str) -> Iterator[None]:
        command = self.command(self.services[name]["command"])
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=self.env(name), cwd=ROOT, stdout=log, stderr=log)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            # uvicorn shuts down in order, and then ends by the signal itself
            assert process.wait(60) in (0, -signal.SIGTERM), (name, (self.folder / f"{name}.log").read_text())
        finally:
            process.kill()
            process.wait()


@pytest.mark.timeout(600)
def test_the_commands_of_the_compose_file_start_a_working_service(
    compose: dict[str, Any], postgres_url: str, redis_url: str, s3_url: str, secrets: Path, tmp_path: Path
) -> None:
    (secrets / "canemap_database_url").write_text(f"{postgres_url}\n")
    (secrets / "store.ini").write_text(
        "[default]\naws_access_key_id = {AWS_ACCESS_KEY_ID}\naws_secret_access_key = {AWS_SECRET_ACCESS_KEY}\n".format(
            **servers.S3_KEYS
        )
    )
    settings = {
        "CANEMAP_SECRETS_DIR": str(secrets),
        "CANEMAP_BROKER_URL": redis_url,
        "CANEMAP_STORE_URL": f"{s3_url}&region=us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": str(secrets / "store.ini"),
    }
    assert settings.keys() <= compose["x-environment"].keys()
    containers = Containers(compose, tmp_path, settings, servers.free_port())
    assert containers.run("migrate") == 0
    with ExitStack() as stack:
        for name in OURS[1:]:
            stack.enter_context(containers.up(name))
        client = stack.enter_context(Client(f"http://127.0.0.1:{containers.port}"))
        deadline = time.monotonic() + READY_S
        while not client.ready():
            assert time.monotonic() < deadline, httpx.get(f"http://127.0.0.1:{containers.port}/readyz").text
            time.sleep(0.2)
        for name in OURS[1:]:
            assert containers.healthy(name), name
        scene = make_scene(tmp_path, "one", seed=1, size_px=320)
        client.upload_scene(scene.image)
        client.upload_labels(scene.plots, class_field="crop", classes={"sugarcane": 1, "*": 0})
        other = make_scene(tmp_path, "two", seed=2, size_px=320)
        client.upload_scene(other.image)
        client.upload_labels(other.plots, class_field="crop", classes={"sugarcane": 1, "*": 0})
        names = ["one", "two"]
        split = {"by": "scene", "train": ["one"], "val": ["two"]}
        assert client.create_dataset("gx", scenes=names, labels=names, split=split).wait(timeout_s=240).id == "gx:1"
        part = httpx.get(f"http://127.0.0.1:{containers.port}/v1/scenes/one/data", headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content[:2]) == (206, b"II")
    assert not list((tmp_path / "worker-maps" / "scratch").iterdir())


def test_the_store_of_the_compose_file_starts_with_its_command(compose: dict[str, Any], secrets: Path) -> None:
    """The command runs as it is written, except that folders, address and ports are those of the test."""
    keys = dict(re.findall(r"^aws_(\w+) = (.+)$", (secrets / "store.ini").read_text(), re.M))
    command = [argument.replace("/run/secrets", str(secrets)) for argument in compose["services"]["store"]["command"]]
    with servers.s3_server(command, keys["access_key_id"], keys["secret_access_key"]) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
