"""Which requests a web page of a stranger may cause: none that changes something, and none under a name of its own.

A browser sends what a page tells it to send, also to a service on the loopback. By itself it keeps the page from
reading the answers, because no answer allows that (CORS), unless the page's host name is made to mean the address of
this service (DNS rebinding). So the service answers only under names that it knows, and refuses changes that the
browser says come from another site. Pages that `CANEMAP_CORS_ORIGINS` names may upload, with a key.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.http.problems import ProblemResponse
from app.core.errors import ProblemDocument, document
from app.settings import Settings
from ml.faults import Fault

HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?P<port>:[0-9]{1,5})?")
SAFE = ("GET", "HEAD", "OPTIONS")
SEARCH = "/v1/stac/search"  # its POST only reads
UPLOADS = "/v1/uploads"
OWN = ("same-origin", "none")  # values of Sec-Fetch-Site: a page of this service, or a person


class Callers:
    """ASGI middleware that refuses requests under unknown names, and changes that come from other sites."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = {_plain(host) for host in settings.hosts}
        self.public = _authority(urlsplit(settings.public_url).netloc)
        self.origins = set(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        refused = self._refusal(scope) if scope["type"] == "http" else None
        if refused is None:
            await self.app(scope, receive, send)
            return
        body = refused.model_copy(update={"instance": scope["path"]}).model_dump()
        await ProblemResponse(body, refused.status, {"Connection": "close"})(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemDocument | None:
        headers = Headers(scope=scope)
        match = HOST.fullmatch(",".join(headers.getlist("host")))
        if match is None:
            hint = "Send one header Host, as every browser and library does."
            return _refused(400, "invalid-host", "The request does not name its host once.", hint, "host")
        if not self._is_own(match["host"], scope):
            hint = "Use an address of the service, or add this name to CANEMAP_ALLOWED_HOSTS."
            return _refused(400, "unknown-host", "The service is not known by this name.", hint, "host")
        if not self._is_safe(scope) and self._is_foreign(headers, _authority(match[0])):
            if self._may_upload(scope, headers):
                scope["key_needed"] = True
                return None
            hint = (
                "Send it from a page of the service itself, or from a program, which sends no Origin. Behind a proxy, "
                "set CANEMAP_PUBLIC_URL to the address that browsers use."
            )
            detail = "A web page of another site asked for a change."
            return _refused(403, "foreign-origin", detail, hint, "origin")
        return None

    @staticmethod
    def _is_safe(scope: Scope) -> bool:
        return scope["method"] in SAFE or scope["path"] == SEARCH

    def _may_upload(self, scope: Scope, headers: Headers) -> bool:
        """Whether a page of a site that the operator names sends a piece: then it must show a key, also on loopback.

        A browser never shows a key by itself, as it does with cookies.
        """
        named = "*" in self.origins or set(headers.getlist("origin")) <= self.origins
        return bool(self.origins) and named and f"{scope['path']}/".startswith(f"{UPLOADS}/")

    def _is_own(self, host: str, scope: Scope) -> bool:
        name = _plain(host)
        server = scope.get("server") or ("",)
        # no page of a stranger is at the address to which this connection was made
        return name in self.hosts or is_loopback(name) or name == _plain(str(server[0]))

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        own = {host, self.public} - {""}
        if not all(_authority(urlsplit(origin).netloc) in own for origin in headers.getlist("origin")):
            return True
        return not all(site in OWN for site in headers.getlist("sec-fetch-site"))


def _refused(status: int, code: str, detail: str, hint: str, header: str) -> ProblemDocument:
    fault = Fault(code.replace("-", "_"), detail, hint, f"header:{header}")
    return document(status, code, "Refused", detail, [fault])


def _plain(host: str) -> str:
    """A host name in small letters, without brackets and the dot of the root; an IPv4 address also if IPv6 wraps it."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(name: str) -> bool:
    """Whether a host name, or an address, is this machine itself."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _authority(netloc: str) -> str:
    """Host and port for comparison, without the ports that browsers leave out."""
    return re.sub(r":(80|443)$", "", netloc.lower())


def install(app: FastAPI, settings: Settings) -> None:
    """Refuse requests that `Callers` refuses, before anything else reads them."""
    app.add_middleware(Callers, settings=settings)
