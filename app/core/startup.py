"""How processes are started, and what each sets up: its logs, and how often Python collects garbage."""

import gc
import logging
import os
import sys
from typing import TextIO

import structlog

from app.core.calm_start import GARBAGE_THRESHOLDS
from app.core.masking import masked
from app.settings import Settings
from ml.text import is_storable

# The start of a command that runs Python. Without -P, a file app.py or worker.py in the current folder would be run
# instead of canemap's package of that name.
PYTHON = (sys.executable, "-P")


def configure_logs(settings: Settings, stream: TextIO | None = None) -> None:
    """Write the logs of structlog and of the standard library to `stream`, by default to standard error.

    Settings choose the level, and the format: lines for people, or JSON for machines.
    """
    stream = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _fit_to_keep,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # the client asks often whether the service is ready; Alembic speaks each time the schema is read
    for talkative in ("kombu", "botocore", "boto3", "httpx", "httpx2", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _fit_to_keep(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters, which terminals obey, and mask secrets: a text may be a path that a client sent."""
    return {key: _visible(masked(value)) if isinstance(value, str) else value for key, value in event.items()}


def _visible(text: str) -> str:
    return text if is_storable(text) else text.encode("unicode_escape").decode()


def private_files() -> None:
    """Let only this user read the files that this process makes: they are data of customers."""
    os.umask(0o077)


def calm_collection() -> None:
    """Make Python collect garbage cycles seldom, and never among the objects of imported modules.

    A page of documents is many objects without a cycle; during a collection no request is answered and no job proceeds.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
