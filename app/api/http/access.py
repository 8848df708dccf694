"""Who sends a request, which is found before its body is read, and whether they may, once its route is known.

Each route stands in `ROUTES` with the scope that it needs. An app with another route does not start.
"""

import ipaddress
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit

import structlog
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.keyring import Keyring
from app.access.scopes import Principal, Refused
from app.access.signatures import PARAMETER
from app.api.http.callers import is_loopback
from app.api.http.heads import routes_of
from app.api.http.lasting import Lasting
from app.api.http.problems import ProblemResponse
from app.core import acting, tenancy
from app.core.acting import Act
from app.core.errors import Forbidden, document
from app.core.masking import masked
from app.requests.access import Scope as Needed
from app.settings import Settings
from ml.faults import Fault

PUBLIC = {
    "healthz": "/healthz",
    "readyz": "/readyz",
    "custom_swagger_ui_html": "/docs",
    "swagger_ui_redirect": "/docs/oauth2-redirect",
    "redoc_html": "/redoc",
}
PUBLIC_FILES = ("/openapi.json", "/static-offline-docs/")  # what the pages of the documentation load
NEEDED: dict[Needed, tuple[str, ...]] = {
    "view": (
        *("list_jobs", "get_job", "get_results", "get_log", "head_events", "get_events", "options_uploads"),
        *("list_scenes", "get_scene", "get_scene_data", "list_labels", "get_labels", "list_datasets", "get_dataset"),
        *("list_zones", "get_zones", "get_zone_features"),
        *("list_trainings", "get_training", "get_series", "list_experiments", "get_experiment", "list_figures"),
        *("get_figure", "list_models", "get_model", "get_version", "get_bundle", "get_onnx", "get_alias"),
        *("list_samples", "get_sample", "get_points", "get_chip", "get_answers", "get_estimates"),
        *("list_surveys", "get_survey", "get_survey_scenes", "get_survey_areas", "get_survey_change"),
        *("get_survey_file", "get_survey_tile", "get_survey_tilejson", "get_survey_preview", "get_survey_sheet"),
        "get_change",
        *("list_evaluations", "get_evaluation", "list_schedules", "get_schedule", "list_runs", "get_run"),
        *("get_stac", "get_stac_conformance", "list_collections", "get_collection", "list_collection_items"),
        *("get_collection_item", "search_items", "post_search", "get_tile", "get_tilejson", "get_preview"),
        *("get_scene_tile", "get_scene_tilejson", "get_scene_preview"),
        *(
            "list_predictions",
            "get_prediction",
            "get_areas",
            "get_product",
            "get_sheet",
            "get_zoned_polygons",
            "home",
            "get_landing",
            "whoami",
        ),
        *("metrics", "post_signed_url", "get_conformance", "list_processes", "get_process"),
    ),
    "operate": (
        *("dismiss_job", "retry_job"),
        *("post_upload", "head_upload", "patch_upload", "put_upload", "delete_upload"),
        *("put_scene", "post_scene", "patch_scene", "delete_scene"),
        *("put_labels", "post_labels", "patch_labels", "delete_labels"),
        *("put_zones", "post_zones", "patch_zones", "delete_zones"),
        *("post_prediction", "patch_prediction", "delete_prediction"),
        *("post_survey", "patch_survey", "delete_survey"),
        *("post_sample", "patch_sample", "delete_sample", "put_answers"),
        "post_execution",  # which asks `require` for what the route of the same work needs
    ),
    "train": (
        *("post_dataset", "patch_dataset", "delete_dataset", "post_training", "patch_training", "delete_training"),
        *("post_experiment", "patch_experiment", "delete_experiment", "patch_model", "delete_model"),
        *("patch_version", "delete_version", "post_version", "put_alias", "delete_alias"),
        *("post_evaluation", "patch_evaluation", "delete_evaluation"),
        *("post_schedule", "patch_schedule", "delete_schedule", "post_run"),
    ),
    "admin": (
        *("post_key", "list_keys", "get_key", "delete_key", "rotate_key", "list_audit"),
        *("put_tenant", "list_tenants", "get_tenant", "delete_tenant"),
        # a webhook takes data out of the service, and goes on when the key of whoever made it has been revoked
        *("post_webhook", "list_webhooks", "get_webhook", "patch_webhook", "delete_webhook", "rotate_webhook"),
        *("post_test_message", "list_deliveries", "get_delivery", "redeliver"),
    ),
}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "webhook-id")
# about all tenants: for keys of the tenant "local" alone
OPERATORS = ("metrics", "put_tenant", "list_tenants", "delete_tenant")
ROUTES: dict[str, Needed | None] = {name: needed for needed, names in NEEDED.items() for name in names}
ROUTES |= dict.fromkeys(PUBLIC)
HINTS = {
    "no-key": "Send the header Authorization: Bearer and your key, or set CANEMAP_KEY.",
    "unknown-key": "Copy the whole key, which begins with cm_, or ask for a new one: it may have been revoked.",
    "expired-key": "Ask for a new key.",
    "unknown-signature": "Use the whole address as it was signed, and only to read.",
    "expired-signature": "Sign the address again: POST /v1/signed-urls.",
}
DETAILS = {
    "no-key": "The request shows no key.",
    "unknown-key": "There is no such key.",
    "expired-key": "The key has expired.",
    "unknown-signature": "The signature does not allow this request.",
    "expired-signature": "The signature has expired.",
}


class Access:
    """ASGI middleware that finds out who sends a request, and lets it work in the scope of their tenant."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        public = urlsplit(settings.public_url).hostname
        self.always = settings.auth == "keys" or (not settings.auth and bool(public) and not is_loopback(public or ""))
        self.behind_a_proxy = settings.auth != "none"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. One with a wrong key is refused at once."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope)
            if principal is None and not _is_public(scope["path"]):
                raise Refused("no-key")
        except Refused as refused:
            await _unauthorised(scope, refused.code)(scope, receive, send)
            return
        scope["principal"] = principal
        tenant = principal.tenant if principal else tenancy.NOBODY
        with tenancy.acting_for(tenant), acting.acting(_act(scope, principal)):
            if principal is None or principal.key_id is None:
                await self.app(scope, receive, send)
            else:
                await self._serve(Lasting(scope, receive, send, principal.key_id))

    async def _serve(self, request: Lasting) -> None:
        """Serve a request that shows a key, which may be revoked before it has ended."""
        try:
            await self.app(request.scope, request.receive, request.send)
        except* Refused:  # also one in a group, of a stream
            pass
        if request.ended and not request.answered:
            answer = _unauthorised(request.scope, request.ended.code)
            await answer(request.scope, request.inner_receive, request.inner_send)

    async def _principal(self, scope: Scope) -> Principal | None:
        """Who sends the request; None for somebody without a key. Raises `Refused`."""
        headers, signature = Headers(scope=scope), _take_signature(scope)
        forwarded = self.behind_a_proxy and _is_forwarded(headers)
        if not (self.always or forwarded or _reaches_others(scope) or scope.get("key_needed")):
            return Principal()
        shown = headers.getlist("authorization")
        if not shown:
            return await run_sync(_signed, scope, signature) if signature else None
        kind, _, key = shown[0].partition(" ")
        if len(shown) > 1 or kind.lower() != "bearer":
            raise Refused("unknown-key")
        keyring: Keyring = scope["app"].state.keyring
        return keyring.remembered(key.strip()) or await run_sync(keyring.find, key.strip())


def _is_public(path: str) -> bool:
    """Whether everybody may read what is at `path`."""
    return path in PUBLIC.values() or path.startswith(PUBLIC_FILES)


def _reaches_others(scope: Scope) -> bool:
    """Whether the request came to an address that other machines can reach."""
    try:
        return not ipaddress.ip_address(str((scope.get("server") or ("",))[0])).is_loopback
    except ValueError:  # a socket of this machine has no address
        return False


def _is_forwarded(headers: Headers) -> bool:
    """Whether it can come from anywhere, although it comes to the loopback: through a proxy, or through a webhook."""
    return any(name in headers for name in FORWARDED)


def _take_signature(scope: Scope) -> str:
    """The signature of an address, which is taken out of the query: no route knows it, and no log has it."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    found = [value for name, value in query if name == PARAMETER]
    if found:
        kept = [part for part in scope["query_string"].split(b"&") if not part.startswith(f"{PARAMETER}=".encode())]
        scope["query_string"], scope["signature"] = b"&".join(kept), found[0]
    return found[0] if found else ""


def _signed(scope: Scope, signature: str) -> Principal:
    """Who signed the address, if that key is still valid. Raises `Refused`."""
    state = scope["app"].state
    principal: Principal = state.signer.check(signature, scope["method"], scope["path"])
    if principal.key_id is not None:
        state.keyring.check(principal.key_id)
    return principal


def _unauthorised(scope: Scope, code: str) -> ProblemResponse:
    fault = Fault(code.replace("-", "_"), DETAILS[code], HINTS[code], "header:authorization")
    body = document(401, code, "No entry", DETAILS[code], [fault]).model_copy(update={"instance": scope["path"]})
    return ProblemResponse(body.model_dump(), 401, {"WWW-Authenticate": "Bearer", "Connection": "close"})


async def allowed(request: Request) -> None:
    """Raise `Forbidden` unless whoever sends the request may use its route. Others than `PUBLIC` have shown a key."""
    name = request.scope["route"].name
    needed, principal = ROUTES[name], request.scope["principal"]
    if needed is None:
        return
    assert principal is not None, name
    require(principal, name)
    if name in OPERATORS and principal.tenant != tenancy.LOCAL:
        detail = "This is about all tenants, and your key belongs to one of them."
        hint = "Ask whoever runs the service, who has a key of the tenant local."
        raise Forbidden("missing-scope", detail, Fault("missing_scope", detail, hint, "header:authorization"))


def _act(scope: Scope, principal: Principal | None) -> Act | None:
    """What a request does, and for whom; None for somebody without a key."""
    if principal is None:
        return None
    who = "loopback" if principal.key_id is None else f"key {principal.key_id}"
    request = structlog.contextvars.get_contextvars().get("request")
    action, reads = masked(f"{scope['method']} {scope['path']}"), scope["method"] in ("GET", "HEAD")
    return Act(who, action, principal.scopes, reads, _peer(scope), request)


def _peer(scope: Scope) -> str | None:
    """The address from which a request comes, or None. A proxy of this machine names it, who may send any text on."""
    client = str((scope.get("client") or ("",))[0])
    try:
        return None if "%" in client else str(ipaddress.ip_address(client))
    except ValueError:
        return None


def require(principal: Principal, route: str) -> None:
    """Raise `Forbidden` if what the route named `route` needs is more than this sender's key has."""
    needed = ROUTES[route]
    if needed and not principal.may(needed):
        raise _missing(needed, principal)


def _missing(needed: Needed, principal: Principal) -> Forbidden:
    detail = f"This needs the scope {needed!r}, and your key has {principal.scope!r}."
    hint = "Ask whoever runs the service for a key that may do this."
    return Forbidden("missing-scope", detail, Fault("missing_scope", detail, hint, "header:authorization"))


async def _sender(request: Request) -> Principal:
    principal: Principal = request.scope["principal"]
    return principal


def with_signature(request: Request, url: str) -> str:
    """`url` with the signature of the request, if it has one, so that a map program can go on to it."""
    signature = request.scope.get("signature")
    return f"{url}{'&' if '?' in url else '?'}{PARAMETER}={quote(signature)}" if signature else url


Sender = Annotated[Principal, Depends(_sender)]


def check_routes(app: FastAPI) -> None:
    """Raise `RuntimeError` if a route has no scope, or a scope no route."""
    names = {str(getattr(route.original_route, "name", "")) for route in routes_of(app)}
    if wrong := sorted(names ^ set(ROUTES)):
        raise RuntimeError(f"Routes without a scope in app.api.http.access, or scopes without a route: {wrong}.")


def install(app: FastAPI, settings: Settings) -> None:
    """Find out who sends each request, before anything else is done with it."""
    app.add_middleware(Access, settings=settings)
