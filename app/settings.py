"""Settings from the environment: `CANEMAP_DATA_DIR`, `CANEMAP_DATABASE_URL`, ... (docs/settings.md)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

GIB = 1024**3


class Settings(BaseSettings):
    """Every setting has a default that works on one machine with no server installed."""

    model_config = SettingsConfigDict(env_prefix="CANEMAP_", frozen=True, hide_input_in_errors=True)

    data_dir: Path = Field(Path("canemap-data"), description="Folder of everything that must survive a restart.")
    database_url: str = Field("", description="SQLAlchemy URL; by default SQLite under the data folder.")
    broker_url: str = Field("", description="Celery broker URL; by default plain files under the data folder.")
    store_url: str = Field("", description="Where files lie: file:///folder or s3://bucket/prefix?endpoint=URL.")
    cache_limit_bytes: int = Field(50 * GIB, gt=0, description="Most bytes of copies of stored files on this machine.")
    upload_limit_bytes: int = Field(20 * GIB, gt=0, description="Largest body of one upload.")
    upload_idle_s: float = Field(
        30, gt=0, description="A body that brings under 1 KiB a second for so long is given up."
    )
    scene_limit_px: int = Field(40_000_000_000, gt=0, description="Most pixels of one scene.")
    heartbeat_s: float = Field(1.0, gt=0, description="How often a worker reports progress and asks whether to stop.")
    lease_s: float = Field(20, gt=0, description="A worker not heard of for so long is taken for dead.")
    sweep_s: float = Field(
        5, gt=0, description="How often dead workers, unheard jobs and due schedules are looked for."
    )
    max_failures: int = Field(3, ge=1, description="A job whose worker died so often fails for good.")
    stall_s: float = Field(1800, gt=0, description="A job that makes no progress for so long is ended and tried again.")
    torch_threads: int = Field(
        0,
        ge=0,
        description="Threads of one worker's net, or processes of one thread each that map a wide scene; 0 leaves the "
        "choice to torch.",
    )
    worker_metrics: str = Field(
        "", pattern=r"^(.+:\d+)?$", description="host:port where a worker answers Prometheus; none by default."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or JSON for machines.")

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        try:
            if url:
                make_url(url)
        except ArgumentError:
            raise ValueError("write a URL, for instance postgresql+psycopg://user:password@host/canemap") from None
        return url

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve()}/canemap.db"

    @property
    def broker(self) -> str:
        """The broker URL in force."""
        return self.broker_url or "filesystem://"

    @property
    def store(self) -> str:
        """The store's URL in force."""
        return self.store_url or (self.data_dir.resolve() / "store").as_uri()

    @property
    def broker_dir(self) -> Path:
        """Where the file-based broker keeps its messages."""
        return self.data_dir.resolve() / "broker"
