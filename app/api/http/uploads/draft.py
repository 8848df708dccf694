"""draft-ietf-httpbis-resumable-upload on the routes of /v1/uploads, for clients that send its interop version.

Its informational answers (104) are not sent: uvicorn, the server, can send none. Such a client learns the address of an
upload from the answer to its POST, so it begins with few bytes, or with none.
"""

from typing import Any

from fastapi import Request

from app.api.http.problems import ProblemResponse
from app.core.errors import Conflict, TooLarge, document, unreadable
from app.data.upload_sinks import OffsetMismatch, used_up
from app.data.uploads import Piece, State, beyond

INTEROP_VERSION = "8"  # of the drafts since 09
MEDIA_TYPE = "application/partial-upload"
TYPES = "https://iana.org/assignments/http-problem-types#"
INCONSISTENT = ("total-mismatch", "total-exceeded")


def is_spoken(request: Request) -> bool:
    """Whether the client speaks the draft. Raises `Unreadable` for another interop version than ours."""
    version = request.headers.get("upload-draft-interop-version")
    if version not in (None, INTEROP_VERSION):
        detail = "This interop version of resumable uploads is not spoken here."
        raise unreadable("unknown-version", detail, f"Speak {INTEROP_VERSION}.", "header:upload-draft-interop-version")
    return version is not None


def completes(request: Request) -> bool:
    """Whether the body is the end of the file. Raises `Unreadable` if the client does not say it."""
    told = request.headers.get("upload-complete")
    if told not in ("?0", "?1"):
        detail = "Upload-Complete does not say whether the file ends with the body."
        raise unreadable(
            "invalid-upload-complete", detail, "Send ?1 with the last bytes, and else ?0.", "header:upload-complete"
        )
    return told == "?1"


def total_of(offset: int, length: int | None, total: int | None, last: bool) -> int | None:
    """Bytes of the whole file, as a request states them in one way or in both. Raises `Conflict` if they differ."""
    if not last or length is None:
        return total
    if total not in (None, offset + length):
        raise Conflict("total-mismatch", f"The file ends at byte {offset + length}, but was announced to have {total}.")
    return offset + length


def refuse_complete(state: State, piece: Piece) -> None:
    """Raise `Conflict` if all bytes of the file have arrived before."""
    if state.complete:
        raise used_up() if piece.length == 0 else beyond(state.offset)


def problem(request: Request, error: Conflict | TooLarge, limit_bytes: int) -> ProblemResponse | None:
    """The answer that the draft has for an error, or None if it has none. limit_bytes: of a file."""
    more: dict[str, Any] = {}
    headers = {}
    if isinstance(error, OffsetMismatch):
        status, code = 409, f"{TYPES}mismatching-upload-offset"
        more = {"expected-offset": error.kept, "provided-offset": error.offset}
        headers = {"Upload-Offset": str(error.kept)}
    elif error.code == "upload-complete":
        status, code = 400, f"{TYPES}completed-upload"
    elif error.code in INCONSISTENT:
        status, code = 400, f"{TYPES}inconsistent-upload-length"
    elif isinstance(error, TooLarge):
        status, code, headers = 413, error.code, {"Upload-Limit": f"max-size={limit_bytes}"}
    else:
        return None
    body = document(status, code, error.title, error.detail).model_copy(update={"instance": request.url.path})
    return ProblemResponse(body.model_dump() | more, status, headers)
