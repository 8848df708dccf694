"""A store in a bucket of AWS S3, or of another server that has the same protocol and honours conditional puts."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.core.errors import Damaged, StoreAway
from app.storage.cache import Cache
from app.storage.download import download, forget
from app.storage.integrity import Checker
from app.storage.store import PIECE_BYTES, TRUST_S, Stored, StoredObject, key_for, missing, sha256_in, sha256_of

log = structlog.get_logger()
PART_BYTES = 64 * 1024**2  # of a multipart upload; S3 allows 10,000 of them, so objects of up to 640 GB
_MISSING = {"404", "NoSuchKey"}
_TAKEN = {"412", "PreconditionFailed"}
_ENDED = "NoSuchUpload"  # a multipart upload that was completed or aborted
# Every body is signed, so the server refuses one that was damaged in transit. The checksums that AWS added are not
# needed then, and not every server supports them.
_PLAIN: dict[str, Any] = {
    "s3": {"addressing_style": "path", "payload_signing_enabled": True},
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
_PATIENT = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4}, **_PLAIN)
_HASTY = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1}, **_PLAIN)


class S3Store:
    """A store whose keys are names in a bucket, after a prefix.

    Credentials come from the same sources as for the tools of AWS, for instance environment variables.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        cache: Cache,
        *,
        endpoint: str | None,
        region: str | None,
        trust_s: float = TRUST_S,
    ) -> None:
        self._bucket, self._prefix, self._cache = bucket, prefix, cache
        self._checker = Checker(trust_s)
        where = {"endpoint_url": endpoint, "region_name": region}
        session = boto3.session.Session()
        self._client = session.client("s3", config=_PATIENT, **where)
        self._hasty = session.client("s3", config=_HASTY, **where)

    @property
    def url(self) -> str:
        """URL of the bucket and prefix, in the form of CANEMAP_STORE_URL without its options."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path for a new file, in the folder of the cache. The file is deleted at the end of the block."""
        path = self._cache.folder / f"part-{secrets.token_hex(16)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def partial(self, name: str) -> None:
        """None: other machines do not see the disk of this one."""

    def put(self, source: Path, place: str, *, sha256: str | None = None) -> Stored:
        """Upload `source`, unless the bucket has its bytes under this key already."""
        digest = sha256 or sha256_of(source)
        stored = Stored(key_for(place, digest), digest, source.stat().st_size)
        with self._request(stored.object) as target:
            send = self._put_whole if stored.size_bytes <= PART_BYTES else self._put_parts
            if not _put_if_absent(lambda: send(source, target)) and not self._has(target, stored):
                self._client.delete_object(**target)  # an incomplete object, which nobody could use
                send(source, target)
        return stored

    def file(self, key: str) -> Path:
        """The path of a copy in the cache, checked unless it was intact before and has not changed."""
        path = self._cached(key)
        self._checker.check(path, key)
        return path

    def take(self, key: str, folder: Path) -> Path:
        """The path of a copy in `folder`, checked. It is linked to the copy in the cache, which may be deleted."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / sha256_in(key)
        if not path.exists():
            self._link(key, path)
        try:
            self._checker.check(path, key)
        except Exception:  # the copy is damaged on this disk: the next attempt must download another
            self._cache.drop(path.name)
            path.unlink(missing_ok=True)
            raise
        return path

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`."""
        return (found.key for found in self._listed(prefix))

    def objects(self) -> Iterator[StoredObject]:
        """All objects."""
        return self._listed("")

    def _listed(self, prefix: str) -> Iterator[StoredObject]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._request(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", ()):
                    yield StoredObject(item["Key"].removeprefix(self._prefix), item["Size"], item["LastModified"])

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an object in pieces, from the bucket and not from the cache."""
        with self._request(key) as target:
            yield from self._client.get_object(**target)["Body"].iter_chunks(PIECE_BYTES)

    def delete(self, key: str) -> None:
        """Delete the object, if it is there, and its copy in the cache."""
        with self._request(key) as target:
            self._client.delete_object(**target)
        self._cache.drop(sha256_in(key))

    def sweep(self, before: datetime) -> int:
        """Abort the multipart uploads of killed processes: nobody sees their parts, and they are paid for."""
        pages, count = self._client.get_paginator("list_multipart_uploads"), 0
        with self._request(""):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for item in page.get("Uploads", ()):
                    if item["Initiated"] < before:
                        self._abort(item["Key"], item["UploadId"])
                        count += 1
        return count

    def _abort(self, name: str, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=name, UploadId=upload)
        except ClientError as error:
            if _code(error) != _ENDED:
                raise

    def fault(self) -> str | None:
        """Write an object, try to write it again, and delete it. Returns what went wrong, or None."""
        target = {"Bucket": self._bucket, "Key": f"{self._prefix}ready/{secrets.token_hex(16)}"}
        try:
            self._hasty.put_object(Body=b"ready", IfNoneMatch="*", **target)
            honoured = not _put_if_absent(lambda: self._hasty.put_object(Body=b"again", IfNoneMatch="*", **target))
            self._hasty.delete_object(**target)
        except (BotoCoreError, ClientError) as error:
            log.error("the store cannot be written", url=self.url, error=str(error))
            return f"The store cannot be written ({type(error).__name__})."
        return None if honoured else "The store does not honour conditional puts (If-None-Match)."

    def _cached(self, key: str) -> Path:
        return self._cache.get(sha256_in(key), lambda path: self._download(key, path))

    def _link(self, key: str, path: Path) -> None:
        part = path.with_name(f"part-{secrets.token_hex(16)}")
        while True:
            cached = self._cached(key)
            with suppress(FileNotFoundError):  # just deleted from the cache
                _link_or_copy(cached, part)
                break
        part.replace(path)

    def _download(self, key: str, path: Path) -> None:
        """Download an object to `path`. The cache lets one process of this machine do so at a time."""
        unfinished = self._cache.folder / f"part-{sha256_in(key)}"
        with self._request(key) as target:
            download(self._client, target, unfinished)
        try:
            self._checker.check(unfinished, key, again=True)
        except Damaged:
            forget(unfinished)
            raise
        unfinished.replace(path)

    def _has(self, target: dict[str, str], stored: Stored) -> bool:
        return bool(self._client.head_object(**target)["ContentLength"] == stored.size_bytes)

    def _put_whole(self, source: Path, target: dict[str, str]) -> None:
        with source.open("rb") as file:
            self._client.put_object(Body=file, IfNoneMatch="*", **target)

    def _put_parts(self, source: Path, target: dict[str, str]) -> None:
        """Upload a large file in several requests. The object appears under its key only with the last one."""
        upload = target | {"UploadId": self._client.create_multipart_upload(**target)["UploadId"]}
        try:
            parts: list[dict[str, object]] = []
            with source.open("rb") as file:
                while body := file.read(PART_BYTES):
                    number = len(parts) + 1
                    tag = self._client.upload_part(Body=body, PartNumber=number, **upload)["ETag"]
                    parts.append({"PartNumber": number, "ETag": tag})
            self._complete(upload, parts, source.stat().st_size)
        except BaseException:
            with suppress(BotoCoreError, ClientError):  # `sweep` tries again; the first error says what is wrong
                self._client.abort_multipart_upload(**upload)
            raise

    def _complete(self, upload: dict[str, str], parts: list[dict[str, object]], size: int) -> None:
        """Make one object of all parts. Done again after an answer that was lost, this changes nothing."""
        try:
            self._client.complete_multipart_upload(MultipartUpload={"Parts": parts}, IfNoneMatch="*", **upload)
        except ClientError as error:
            target = {name: upload[name] for name in ("Bucket", "Key")}
            if _code(error) != _ENDED or self._client.head_object(**target)["ContentLength"] != size:
                raise

    @contextmanager
    def _request(self, key: str) -> Iterator[dict[str, str]]:
        """The arguments that name an object in a request. Errors of the library become `Damaged` or `StoreAway`."""
        try:
            yield {"Bucket": self._bucket, "Key": self._prefix + key}
        except ClientError as error:
            if _code(error) in _MISSING:
                raise missing(key) from error
            raise _away(self.url, error) from error
        except (BotoCoreError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # an error of the local disk, not of the store
                raise
            raise _away(self.url, error) from error


def _link_or_copy(source: Path, target: Path) -> None:
    """Give `source` a second name, or make a copy if it is on another disk. Raises `FileNotFoundError`."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _put_if_absent(send: Callable[[], object]) -> bool:
    """Call `send`, a conditional put. Returns False when the key exists already."""
    try:
        send()
    except ClientError as error:
        if _code(error) in _TAKEN:
            return False
        raise
    return True


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _away(url: str, error: Exception) -> StoreAway:
    return StoreAway("store-away", f"The store {url} cannot be used ({type(error).__name__}: {error}).")
