"""Opens the store that a URL names."""

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from app.storage.cache import Cache
from app.storage.local import LocalStore
from app.storage.store import TRUST_S, Store

_OPTIONS = {"endpoint", "region"}


class BadStoreUrl(ValueError):
    """A URL that names no store."""


def check_url(url: str) -> str:
    """Return `url` unchanged, or raise `BadStoreUrl` when it names no store."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return url
    if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc and set(parse_qs(parts.query)) <= _OPTIONS:
        return url
    raise BadStoreUrl(
        "write file:///folder or s3://bucket/prefix?endpoint=http://host:port&region=name; "
        "access keys do not belong in the URL"
    )


def open_store(url: str, cache: Cache, trust_s: float = TRUST_S) -> Store:
    """Open the store at `url`, which has the form of CANEMAP_STORE_URL.

    cache: For copies of files of a store that is not on this machine. trust_s: Seconds for which a file that was found
    intact is served without another look at its bytes.
    """
    parts = urlsplit(check_url(url))
    if parts.scheme == "file":
        return LocalStore(Path(unquote(parts.path)), trust_s)
    from app.storage.s3 import S3Store  # imported only when it is used, because its library is slow to import

    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    prefix = parts.path.strip("/")
    return S3Store(
        parts.netloc,
        f"{prefix}/" if prefix else "",
        cache,
        endpoint=options.get("endpoint"),
        region=options.get("region"),
        trust_s=trust_s,
    )
