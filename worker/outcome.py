"""What a piece of work made: files for the store, and how to record them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from app.storage import Stored


@dataclass(frozen=True)
class Outcome:
    """files: name -> file in the scratch folder. record: called with what the store made of them, in the transaction
    that also ends the job: everything is recorded, or nothing. place: where in the store, if not where results lie."""

    record: Callable[[Session, Mapping[str, Stored]], None]
    files: Mapping[str, Path] = field(default_factory=dict)
    place: str | None = None
