"""Digests in headers (RFC 9530): those that clients send are checked, and those of stored files are sent.

Content-Digest is of the body of one request, Repr-Digest of a whole file.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from app.api.http.places import Places
from app.core.errors import Problem, invalid
from app.services import Services
from app.storage import sha256_of

CONTENT, REPR = "content-digest", "repr-digest"
ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}  # others are ignored, as RFC 9530 has it
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):\s*(?:;.*)?")
_STORED = re.compile(r"([0-9a-f]{64})(?:-.+)?")  # name of a file of a store, or of its copy, which names its bytes
_WANTED = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=(\d{1,2})\s*")


@dataclass(frozen=True)
class Check:
    """A digest that bytes must have. algorithm: as `hashlib` names it. mismatch: the error if they have another one."""

    algorithm: str
    digest: bytes
    mismatch: Problem

    def file(self, path: Path) -> None:
        """Raise the error if the file has another digest."""
        with path.open("rb") as file:
            self.found(hashlib.file_digest(file, self.algorithm).digest())

    def found(self, digest: bytes) -> None:
        """Raise the error if `digest` is another one."""
        if digest != self.digest:
            raise self.mismatch


def announced(request: Request, name: str) -> dict[str, str]:
    """The digests in a header, in base64 by algorithm: those that can be checked. Raises `Invalid`."""
    header = ",".join(request.headers.getlist(name))
    found = {}
    for member in header.split(",") if header else ():
        match = _MEMBER.fullmatch(member)
        if not match:
            raise _unreadable(name)
        if match[1] in ALGORITHMS:
            _decoded(match[1], match[2], name)
            found[match[1]] = match[2]
    return found


def checks(request: Request, *names: str) -> list[Check]:
    """What the digests in these headers demand. Raises `Invalid` for a header that cannot be read."""
    return [check for name in names for check in checks_of(announced(request, name), name)]


def checks_of(digests: dict[str, str], name: str = REPR) -> Iterator[Check]:
    """What digests in base64, by algorithm, demand. name: of the header that had them."""
    title = name.title()
    for algorithm, digest in digests.items():
        detail = f"The bytes do not have the {algorithm} of {title}."
        mismatch = invalid("digest-mismatch", detail, "Send them again.", f"header:{name}")
        yield Check(ALGORITHMS[algorithm], _decoded(algorithm, digest, name), mismatch)


def _decoded(algorithm: str, digest: str, name: str) -> bytes:
    try:
        decoded = base64.b64decode(digest, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != hashlib.new(ALGORITHMS[algorithm]).digest_size:
        raise _unreadable(name)
    return decoded


def _unreadable(name: str) -> Problem:
    title = name.title()
    hint = f"Send {title}: sha-256=:BASE64:, or sha-512, or leave the header out."
    return invalid("digest-unreadable", f"{title} cannot be read.", hint, f"header:{name}")


async def checked(request: Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a body, whose digests are compared at the end of it. Raises `Invalid`."""
    demanded = checks(request, CONTENT, REPR)
    hashes = [hashlib.new(check.algorithm) for check in demanded]
    async for chunk in chunks:
        for digest in hashes:
            digest.update(chunk)
        yield chunk
    for check, digest in zip(demanded, hashes, strict=True):
        check.found(digest.digest())


def of_stored(path: Path) -> str | None:
    """The sha256 of a file of the store, or of its copy on this host, in hex, which its name tells. None for others."""
    stored = _STORED.fullmatch(path.name)
    return stored[1] if stored else None


async def of_copy(request: Request, services: Services, places: Places, path: Path) -> str | None:
    """The sha256 of a stored file, or of a copy in the cache, in hex.

    None for a copy of which Want-Repr-Digest does not ask for it, because it must be read for that.
    """
    if stored := of_stored(path):
        return stored
    if not _wants_sha256(request):
        return None
    name = f"{path.name}.{path.stat().st_mtime_ns}.sha256"  # a copy that is made again may have other bytes

    def make(into: Path) -> None:
        into.write_text(sha256_of(path))

    return (await places.run("copy", services.cache.get, name, make)).read_text()


def _wants_sha256(request: Request) -> bool:
    """Whether Want-Repr-Digest asks for a sha-256."""
    wanted = request.headers.get("want-repr-digest", "").split(",")
    matches = (match for member in wanted if (match := _WANTED.fullmatch(member)))
    return any(match[1] == "sha-256" and int(match[2]) for match in matches)


def repr_digest(sha256: str) -> dict[str, str]:
    """The header that states the sha256, in hex, of a whole file."""
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"}
