"""Routes of /v1/webhooks: addresses to which messages about events are sent, and the deliveries of these messages."""

from fastapi import APIRouter, Request, Response

from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deps import Condition, Id, OnceOnly, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.requests.access import KeyRotation, period
from app.requests.webhooks import WebhookPatch, WebhookRequest
from app.services import Services
from app.webhooks import deliveries, webhooks
from app.webhooks.addresses import Policy, check_url
from app.webhooks.webhooks import NewSecret

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=JsonRoute)


@router.post("", status_code=201, responses=created(ETAG) | problems(*IN_BODIES, 409))
def post_webhook(
    services: Wired, sender: Sender, body: WebhookRequest, once: OnceOnly, response: Response
) -> documents.NewWebhook:
    """Register an address for messages about events. The secret that signs them is shown only in this answer."""
    _check_address(services, body.url)
    with services.database.write() as session:
        made = webhooks.create(session, sender.tenant, body, once)
    return _new(made, response)


@router.get("", responses=answer(200, NEXT))
def list_webhooks(session: Reading, request: Request, response: Response, page: Page) -> documents.Webhooks:
    """List all webhooks, newest first."""
    found = webhooks.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Webhooks(items=tuple(map(documents.Webhook.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_webhook(session: Reading, id_: Id, response: Response) -> documents.Webhook:
    """Read one webhook, without its secret."""
    row = webhooks.get(session, id_)
    etag(response, row.tag)
    return documents.Webhook.of(row)


@router.patch("/{id}", responses=answer(200, ETAG) | problems(*IN_BODIES, 404, 412))
def patch_webhook(
    services: Wired, id_: Id, change: WebhookPatch, if_match: Condition, response: Response
) -> documents.Webhook:
    """Change the address, the events or the title of a webhook, or enable or disable it."""
    if change.url is not None:
        _check_address(services, change.url)
    with services.database.write() as session:
        row = webhooks.patch(session, id_, change, if_match)
    etag(response, row.tag)
    return documents.Webhook.of(row)


@router.delete("/{id}", status_code=204, responses=problems(404, 412))
def delete_webhook(services: Wired, id_: Id, if_match: Condition) -> None:
    """Delete a webhook and its deliveries, also those that wait."""
    services.database.erase(lambda session: webhooks.delete(session, id_, if_match))


@router.post("/{id}/rotate", status_code=201, responses=created(ETAG) | problems(*IN_BODIES, 404, 409))
def rotate_webhook(
    session: Writing, id_: Id, once: OnceOnly, response: Response, body: KeyRotation | None = None
) -> documents.NewWebhook:
    """Make a new secret. For a day, or for as long as the body says, messages are signed with the old one as well."""
    return _new(webhooks.rotate(session, id_, period((body or KeyRotation()).overlap), once), response)


@router.post("/{id}/test", status_code=201, responses=created() | problems(404, 409))
def post_test_message(session: Writing, id_: Id, once: OnceOnly, response: Response) -> documents.Delivery:
    """Send a message of the type webhook.test. Its delivery says what became of it."""
    return _delivery(documents.Delivery.of(webhooks.test(session, id_, once)), response)


@router.get("/{id}/deliveries", responses=answer(200, NEXT) | problems(404))
def list_deliveries(
    session: Reading, id_: Id, request: Request, response: Response, page: Page
) -> documents.Deliveries:
    """List the deliveries of a webhook, newest first, each with its attempts."""
    webhooks.get(session, id_)
    found = deliveries.find(session, id_, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Deliveries(items=tuple(map(documents.Delivery.of, found.rows)), next=found.next)


@router.get("/{id}/deliveries/{delivery}", responses=problems(404))
def get_delivery(session: Reading, id_: Id, delivery: str) -> documents.Delivery:
    """Read one delivery."""
    return documents.Delivery.of(deliveries.of(session, id_, delivery))


@router.post("/{id}/deliveries/{delivery}/redeliver", status_code=201, responses=created() | problems(404, 409))
def redeliver(session: Writing, id_: Id, delivery: str, once: OnceOnly, response: Response) -> documents.Delivery:
    """Send the message once more, with the same webhook-id. 409 while it is being sent."""
    webhook = webhooks.locked(session, id_)
    return _delivery(documents.Delivery.of(deliveries.redeliver(session, webhook, delivery, once)), response)


def _check_address(services: Services, url: str) -> None:
    """Raise `Invalid` for an address to which nothing may be sent. It may take seconds: no transaction is open."""
    check_url(url, Policy.of(services.settings))


def _new(made: NewSecret, response: Response) -> documents.NewWebhook:
    response.headers["Location"] = f"/v1/webhooks/{made.row.id}"
    response.headers["Cache-Control"] = "no-store"
    etag(response, made.row.tag)
    return documents.NewWebhook.with_secret(made)


def _delivery(document: documents.Delivery, response: Response) -> documents.Delivery:
    response.headers["Location"] = f"/v1/webhooks/{document.webhook}/deliveries/{document.id}"
    return document
