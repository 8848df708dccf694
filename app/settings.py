"""Settings from the environment: `CANEMAP_DATA_DIR`, `CANEMAP_DATABASE_URL`, ... (docs/settings.md)."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

GIB = 1024**3
DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
Network = IPv4Network | IPv6Network
BROKERS = ("filesystem", "redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps")


class Settings(BaseSettings):
    """The settings of a process. Their defaults work on one machine where no server is installed."""

    model_config = SettingsConfigDict(env_prefix="CANEMAP_", frozen=True, hide_input_in_errors=True)

    data_dir: Path = Field(Path("canemap-data"), description="Folder of all files that must survive a restart.")
    database_url: str = Field("", description="SQLAlchemy URL; by default SQLite under the data folder.")
    broker_url: str = Field("", description="Celery broker URL; by default plain files under the data folder.")
    store_url: str = Field("", description="Store of the files: file:///folder or s3://bucket/prefix?endpoint=URL.")
    auth: Literal["", "none", "keys"] = Field(
        "",
        description="keys: every request needs a key. none: requests to a loopback address need none, not even through "
        "a proxy. By default requests to a loopback address need none, unless a proxy sent them on, or "
        "CANEMAP_PUBLIC_URL names another machine. To any other address they always need one.",
    )
    limit_requests_per_minute: int = Field(
        6000, ge=0, description="Requests that one key may send to one API process in a minute; 0: any number."
    )
    limit_uploads: int = Field(
        20, ge=0, description="Files that one key may send to one API process at once; 0: any number."
    )
    limit_downloads: int = Field(
        50, ge=0, description="Files that one key may fetch from one API process at once; 0: any number."
    )
    limit_streams: int = Field(
        50, ge=0, description="Requests of one key to one API process that wait for jobs at once; 0: any number."
    )
    limit_queued_jobs: int = Field(
        1000, ge=0, description="Jobs of one tenant that wait or run, but of the tenant local; 0: any number."
    )
    limit_stored_bytes: int = Field(
        1024 * GIB, ge=0, description="Bytes of all files of one tenant, but of the tenant local; 0: any number."
    )
    limit_pixels_per_day: int = Field(
        500_000_000_000,
        ge=0,
        description="Pixels that one tenant may have mapped on a day of UTC, but the tenant local; 0: any number.",
    )
    signed_url_s: int = Field(
        3600, ge=1, le=366 * 86400, description="Most seconds for which a signed address is valid."
    )
    public_url: str = Field(
        "", description="Address under which browsers see the service, like https://maps.example.org; used in links."
    )
    allowed_hosts: str = Field(
        "", description="Further host names under which the service may be asked, comma-separated."
    )
    cors_origins: str = Field(
        "",
        description="Web pages that may read, and upload with a key: origins like https://maps.example.org, "
        "comma-separated, or * for all.",
    )
    webhook_networks: str = Field(
        "",
        description="Networks that webhooks may lead to although they are not public, comma-separated, for instance "
        "10.1.0.0/16. Only there they may do without https.",
    )
    webhook_timeout_s: float = Field(
        15, gt=0, le=300, description="Seconds that a receiver of a webhook has for its whole answer."
    )
    webhook_pauses_s: str = Field(
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$",
        description="Seconds before a message of a webhook is sent again after the first, the second, ... attempt that "
        "failed, and up to a fifth more; after the last one the delivery has failed.",
    )
    cache_limit_bytes: int = Field(
        50 * GIB, gt=0, description="Largest size of the copies of stored files on this machine, in bytes."
    )
    upload_limit_bytes: int = Field(20 * GIB, gt=0, description="Largest body of one upload, in bytes.")
    upload_idle_s: float = Field(
        30, gt=0, description="An upload that is slower than 1 KiB a second for this number of seconds is aborted."
    )
    scene_limit_px: int = Field(40_000_000_000, gt=0, description="Largest number of pixels of one scene.")
    inspection_memory_bytes: int = Field(
        GIB * 3 // 2, ge=64 * 1024**2, description="Most memory that reading one uploaded file may take, in bytes."
    )
    inspection_s: int = Field(
        30, ge=1, description="Most seconds of computing that reading one uploaded file may take; 10 s more in all."
    )
    inspection_wait_s: float = Field(
        15, ge=0, description="Seconds that a request waits while as many files are read as the machine has cores."
    )
    heartbeat_s: float = Field(
        1.0, gt=0, description="Seconds between two heartbeats, which report progress and ask whether to stop the job."
    )
    lease_s: float = Field(
        20, gt=0, description="A worker that has not reported for this number of seconds is considered dead."
    )
    sweep_s: float = Field(
        5, gt=0, description="Seconds between two searches for dead workers, waiting jobs and schedules that are due."
    )
    max_failures: int = Field(3, ge=1, description="A job fails when its worker has died this number of times.")
    retry_pauses_s: str = Field(
        "5,30",
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$",
        description="Seconds before a job is tried again after the first, the second, ... death of its process; the "
        "last number holds for all later ones.",
    )
    max_returns: int = Field(
        150,
        ge=1,
        description="A job fails that workers had to give back this number of times, because the store refused it or "
        "the disk had no room, for instance.",
    )
    return_pauses_s: str = Field(
        "5,30,120,600",
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$",
        description="Seconds before a job is tried again after the first, the second, ... time that a worker gave it "
        "back; the last number holds for all later ones.",
    )
    stall_s: float = Field(
        1800, gt=0, description="A job without progress for this number of seconds is ended and tried again."
    )
    step_stall_s: float = Field(
        120,
        gt=0,
        description="The same once the steps of a training, or the pieces of a map, run: without a step for this "
        "number of seconds, and for ten times the longest step so far.",
    )
    trust_files_h: float = Field(
        24,
        ge=0,
        description="Hours for which a stored file that was found intact is served and used without checking it again.",
    )
    scrub_mb_s: float = Field(
        10,
        ge=0,
        description="Speed at which all stored files are read and checked in the background, in MB/s; 0: never.",
    )
    scrub_d: float = Field(30, gt=0, description="Days between two such checks of a file.")
    keep_logs_d: float = Field(365, ge=0, description="Days for which the log of an ended job is kept; 0: for ever.")
    keep_series_d: float = Field(
        0, ge=0, description="Days for which the series of an ended training is kept; 0: for ever."
    )
    keep_keys_d: float = Field(30, ge=0, description="Days for which an Idempotency-Key is kept; 0: for ever.")
    keep_audit_d: float = Field(0, ge=0, description="Days for which an entry of the audit log is kept; 0: for ever.")
    keep_workers_d: float = Field(
        7, ge=0, description="Days for which a worker that has died is remembered; 0: for ever."
    )
    keep_messages_d: float = Field(
        7, ge=0, description="Days for which the broker of plain files keeps a message that nobody takes; 0: for ever."
    )
    keep_deliveries_d: float = Field(
        30, ge=0, description="Days for which a delivery of a webhook that has ended is kept; 0: for ever."
    )
    keep_failed_d: float = Field(
        0, ge=0, description="Days after which what failed or was dismissed, and nothing needs, is deleted; 0: never."
    )
    keep_orphans_d: float = Field(
        0, ge=0, description="Days after which files that nothing in the database names are deleted; 0: never."
    )
    keep_unfinished_d: float = Field(
        1, ge=0, description="Days for which a failed or dismissed job can be continued where it was, if it is retried."
    )
    torch_threads: int = Field(
        0,
        ge=0,
        description="Number of threads of a worker's net, or of processes with one thread each that map a wide scene; "
        "0 leaves the choice to torch.",
    )
    gpu: str = Field(
        "auto",
        pattern=r"^(auto|none|required|(\d+|(GPU|MIG)-[0-9A-Za-z-]+)(,(\d+|(GPU|MIG)-[0-9A-Za-z-]+))*)$",
        description="The GPU of a worker. auto: the first one, if there is one. none: no GPU. A number or a UUID: only "
        "this one, and the worker ends at its start if it cannot be used. required: any one, likewise. Several numbers "
        "or UUIDs, separated by commas: a training uses all of them, other jobs the first.",
    )
    training_processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Number of processes that share each training; 0: one for each GPU that gpu names. A batch must be "
        "divisible by it, else fewer share the training.",
    )
    gpu_shared: bool = Field(
        False, description="Whether a worker that must have its GPU starts although another worker uses it."
    )
    job_reads: str = Field(
        "",
        description="Further files and folders that jobs may read and run, separated as in PATH, for instance those of "
        "a library that is in no usual place.",
    )
    worker_metrics: str = Field(
        "",
        pattern=r"^(.+:\d+)?$",
        description="host:port where a worker serves metrics to Prometheus; by default none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or JSON for machines.")

    @property
    def processes_of_a_training(self) -> int:
        """Number of processes that may share a training."""
        return self.training_processes or self.gpu.count(",") + 1

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read a setting that is no environment variable from the file of its name in the folder of secrets."""
        folder = os.environ.get("CANEMAP_SECRETS_DIR")
        if folder and not Path(folder).is_dir():
            raise SettingsError(f"CANEMAP_SECRETS_DIR is {folder}, which is not a folder.")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder or None)

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        """The URL with the driver that is installed, as tools of PostgreSQL write it without one."""
        if not url:
            return url
        from sqlalchemy import make_url  # imported only when it is used: commands that use a service need no database
        from sqlalchemy.exc import ArgumentError

        example = "for instance postgresql+psycopg://user:password@host/canemap"
        try:
            parts = make_url(url)
        except ArgumentError:
            raise ValueError(f"write a URL, {example}") from None
        if parts.drivername in DATABASES:
            return url
        if parts.drivername in ("postgresql", "postgres"):
            return parts.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        raise ValueError(
            f"{parts.drivername} is no database that canemap can use; write a URL of PostgreSQL, {example}"
        )

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        scheme = url.partition("://")[0] if "://" in url else ""
        if url and scheme not in BROKERS:
            raise ValueError("write a URL of Redis or Valkey, for instance redis://host:6379/0")
        return url

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("write an address, for instance https://maps.example.org")
        return url.rstrip("/")

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        for origin in _listed(text):
            parts = urlsplit(origin)
            whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
            if origin != "*" and not (whole and parts.hostname):
                raise ValueError("write origins without a path, for instance https://maps.example.org, or *")
        return text

    @field_validator("webhook_networks")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for network in _listed(text):
            try:
                ip_network(network)
            except ValueError:
                raise ValueError("write networks, for instance 10.1.0.0/16,192.168.7.9") from None
        return text

    @property
    def networks_of_webhooks(self) -> tuple[Network, ...]:
        """The networks that webhooks may lead to although they are not public."""
        return tuple(map(ip_network, _listed(self.webhook_networks)))

    @property
    def pauses_of_webhooks(self) -> tuple[float, ...]:
        """The seconds after each attempt that failed."""
        return tuple(float(text) for text in self.webhook_pauses_s.split(","))

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of web pages that may read from the service; ("*",) for all."""
        return _listed(self.cors_origins)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names of the service beside those of the loopback."""
        public = urlsplit(self.public_url).hostname or ""
        return (*((public,) if public else ()), *_listed(self.allowed_hosts))

    def pause_after(self, failures: int) -> float:
        """The seconds before a job is tried again whose process has died `failures` times."""
        return _pause(self.retry_pauses_s, failures)

    def pause_after_return(self, returns: int) -> float:
        """The seconds before a job is tried again that workers have given back `returns` times."""
        return _pause(self.return_pauses_s, returns)

    @property
    def database(self) -> str:
        """URL of the database, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve()}/canemap.db"

    @property
    def broker(self) -> str:
        """URL of the broker, with the default filled in."""
        return self.broker_url or "filesystem://"

    @property
    def store(self) -> str:
        """URL of the store, with the default filled in."""
        return self.store_url or (self.data_dir.resolve() / "store").as_uri()

    @property
    def broker_dir(self) -> Path:
        """The folder of the messages of the broker that uses plain files."""
        return self.data_dir.resolve() / "broker"


def _pause(pauses_s: str, times: int) -> float:
    """The pause after a number of times, at least one. The last pause holds for all later times."""
    pauses = [float(text) for text in pauses_s.split(",")]
    return pauses[min(times, len(pauses)) - 1]


def _listed(text: str) -> tuple[str, ...]:
    """The parts of a text between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
