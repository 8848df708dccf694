"""What the process of a job can open and reach: what its work needs, and nothing else of this user.

It reads the files of strangers, with all libraries that can decode them, and has to keep the database and the store. So
a decoder that was made to run a file's code could still use these two; it cannot read or change other files of this
machine, and cannot connect to other ports. Programs that it starts have the same walls.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from sqlalchemy import make_url

from app.inspection import landlock
from app.inspection.landlock import DEVICE, OWN, READ, RUN, Rule
from app.inspection.libraries import libraries, source
from app.settings import Settings
from ml.native.build import cache_folder

log = structlog.get_logger()
_PACKAGES = ("app", "ml", "worker", "migrations")
# where programs are that libraries start: the C compiler of torch.compile
_PROGRAMS = ("/bin", "/sbin", "/usr", "/lib", "/lib64", "/opt", "/nix/store", "/gnu/store", "/snap")
# what libraries of the system read: processors and devices, names of users and hosts, certificates of servers
_SYSTEM = (
    *("/sys", "/run/systemd/resolve", "/var/lib/sss/mc", "/var/lib/ca-certificates"),
    *(  # root may read the environments of other processes, which have passwords: so not all of /proc
        f"/proc/{name}"
        for name in (
            *("self", "cpuinfo", "devices", "driver", "filesystems", "loadavg", "meminfo", "modules", "mounts"),
            *("stat", "sys", "uptime", "version"),
        )
    ),
    *(
        f"/etc/{name}"
        for name in (
            *("alternatives", "ca-certificates", "crypto-policies", "gai.conf", "group", "host.conf", "hosts"),
            *("krb5.conf", "ld.so.cache", "localtime", "mime.types", "nsswitch.conf", "nvidia", "OpenCL", "passwd"),
            *("pki", "protocols", "resolv.conf", "services", "ssl", "timezone"),
        )
    ),
)
_PLAIN_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_GPUS = ("nvidia*", "nvidia-caps/*", "dri/*", "kfd")  # in /dev
# what the tools of PostgreSQL and of AWS read to know who the service is
_OF_POSTGRESQL = ("PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSERVICEFILE", "KRB5CCNAME")
_OF_AWS = (
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
)
# Folders for temporary files and for code that libraries compile. Each job has its own: code that one job left would
# run in the next one.
_TEMPORARY = ("TMPDIR", "CPL_TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
_NAME_SERVICE, _HTTP, _HTTPS, _POSTGRESQL = 53, 80, 443, 5432
_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "http": _HTTP, "https": _HTTPS}


def are_possible() -> bool:
    """Whether the kernel can hold the process of a job within walls and let it move files between folders."""
    return landlock.version() >= landlock.RENAMES_SINCE


def confine(settings: Settings, folder: Path, *, meets: bool = False) -> None:
    """Keep this process, which must have one thread, within the walls of a job. It stays free if the kernel cannot.

    folder: The folder of the job, for its inputs and its unfinished results. It is made if it is missing.
    meets: Whether its work is shared by processes, which meet at ports that the system chooses: it may use all.
    """
    temporary = folder / "tmp"
    with suppress(OSError):  # a full disk, which the job itself finds again and waits for
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _TEMPORARY:
        os.environ[name] = str(temporary)
    tempfile.tempdir = None  # `tempfile` looks at TMPDIR again
    if not are_possible():
        return  # `canemap doctor` and the worker's log say so
    try:
        landlock.restrict(_rules(settings, folder), None if meets else _ports(settings))
    except OSError as error:  # too many walls around this worker already, for instance
        log.warning("this job can open all files of its user", error=str(error))


def _rules(settings: Settings, folder: Path) -> Iterator[Rule]:
    readable = (*source(*_PACKAGES), *libraries(), *map(Path, _SYSTEM), *_compiled(), *_credentials(settings))
    yield from (Rule(path, READ) for path in readable)
    further = (settings.job_reads, os.environ.get("LD_LIBRARY_PATH", ""))
    programs = (*map(Path, _PROGRAMS), *libraries(), *(path for text in further for path in _paths(text)))
    yield from (Rule(path, RUN) for path in programs)
    gpus = [path for pattern in _GPUS for path in Path("/dev").glob(pattern)]
    yield from (Rule(path, DEVICE) for path in (*map(Path, _PLAIN_DEVICES), *gpus))
    shared_memory = [Path("/dev/shm")] if gpus else []  # of CUDA
    yield from (Rule(path, OWN) for path in (folder, *_of_services(settings), *shared_memory))


def _compiled() -> Iterator[Path]:
    with suppress(RuntimeError):  # this user has no home folder
        yield cache_folder()


def _paths(text: str) -> Iterator[Path]:
    yield from (Path(path) for path in text.split(os.pathsep) if path)


def _of_services(settings: Settings) -> Iterator[Path]:
    """The folders that belong to the database, the broker and the store, as far as they are folders."""
    yield settings.data_dir.resolve() / "cache"
    if (store := urlsplit(settings.store)).scheme == "file":
        yield Path(unquote(store.path))
    if settings.broker.startswith("filesystem"):
        yield settings.broker_dir
    database = make_url(settings.database)
    if database.get_backend_name() == "sqlite" and database.database:
        yield Path(database.database).resolve().parent  # beside the file there are its log and its shared memory


def _credentials(settings: Settings) -> Iterator[Path]:
    """The files that say to the database and the store who this service is."""
    names: tuple[str, ...] = ()
    database = make_url(settings.database)
    if database.get_backend_name() == "postgresql":
        names += _OF_POSTGRESQL
        yield from (Path(f"~/{name}").expanduser() for name in (".pgpass", ".pg_service.conf", ".postgresql"))
        options = ("passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl")
        yield from (Path(text) for key in options for text in database.normalized_query.get(key, ()))
    if settings.store.startswith("s3:"):
        names += _OF_AWS
        yield Path("~/.aws").expanduser()
    yield from (Path(os.environ[name]) for name in names if os.environ.get(name))


def _ports(settings: Settings) -> set[int] | None:
    """The ports of TCP that a job needs; None if they cannot be told from the settings."""
    with suppress(ValueError):  # a port that is not a number
        return {_NAME_SERVICE, *_database_ports(settings), *_broker_ports(settings), *_store_ports(settings)}
    return None


def _database_ports(settings: Settings) -> Iterator[int]:
    database = make_url(settings.database)
    if database.get_backend_name() != "postgresql":
        return
    if database.normalized_query.get("service") or os.environ.get("PGSERVICE"):
        raise ValueError("the port is in a file")
    several = [text for key in ("host", "port") for text in database.normalized_query.get(key, ())]
    named = [text.rpartition(":")[2] for each in several for text in each.split(",")]
    yield from (int(text) for text in named if text.isdigit())
    yield from (database.port or int(os.environ.get("PGPORT") or _POSTGRESQL), _POSTGRESQL)


def _broker_ports(settings: Settings) -> Iterator[int]:
    for url in settings.broker.split(";"):
        parts = urlsplit(url)
        if port := parts.port or _PORTS.get(parts.scheme):
            yield port


def _store_ports(settings: Settings) -> Iterator[int]:
    """The ports of a bucket, of a proxy before it, and of the services of AWS that tell who this machine is."""
    store = urlsplit(settings.store)
    if store.scheme != "s3":
        return
    yield from (_HTTP, _HTTPS)
    proxies = (os.environ.get(name) or os.environ.get(name.lower()) for name in ("HTTP_PROXY", "HTTPS_PROXY"))
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_EC2_METADATA_SERVICE_ENDPOINT")
    endpoints = (*parse_qs(store.query).get("endpoint", ()), *(os.environ.get(name) for name in names), *proxies)
    for endpoint in filter(None, endpoints):
        if port := urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").port:
            yield port
