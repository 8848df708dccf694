"""Problem documents (RFC 9457): what the API answers, and what a failed job keeps."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ml.faults import Fault, InputRefused

# faults of a file that are about its size: the service could not hold what it unfolds to
TOO_LARGE = {
    "too_many_pixels",
    "too_many_bands",
    "too_many_blocks",
    "too_many_features",
    "too_large",
    "block_too_large",
    "overlapping_blocks",
}


def document(status: int, code: str, title: str, detail: str, faults: Sequence[Fault] = ()) -> dict[str, Any]:
    """A problem as RFC 9457 has it; `errors` itemises every fault with its fix."""
    body: dict[str, Any] = {"type": code, "title": title, "status": status, "detail": detail}
    if faults:
        body["errors"] = [asdict(fault) for fault in faults]
    return body


def refusal(refused: InputRefused) -> dict[str, Any]:
    """A refused file as a problem."""
    status = 413 if any(fault.code in TOO_LARGE for fault in refused.faults) else 422
    code = refused.faults[0].code.replace("_", "-")
    return document(status, code, "The input cannot be used", str(refused), refused.faults)
