"""Route of /v1/signed-urls: addresses that work for some time without a key."""

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from app.access import audit
from app.access.signatures import PARAMETER, Signer
from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.deps import Address, Wired, Writing
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.core.errors import invalid
from app.requests.access import SignedUrlRequest

router = APIRouter(prefix="/v1/signed-urls", tags=["keys"], route_class=JsonRoute)


@router.post("", responses=problems(*IN_BODIES))
def post_signed_url(
    services: Wired,
    session: Writing,
    sender: Sender,
    body: SignedUrlRequest,
    address: Address,
    request: Request,
    response: Response,
) -> documents.SignedUrl:
    """Sign the address of a file, a picture or tiles: whoever has it can read them until it expires.

    It is not checked whether they exist. Only the audit log has an entry, so the same request makes another address.
    """
    longest = services.settings.signed_url_s
    if body.expires_s > longest:
        detail = f"No signed address is valid for {body.expires_s} s."
        raise invalid("invalid-lifetime", detail, f"Ask for at most {longest} s (CANEMAP_SIGNED_URL_S).", "/expires_s")
    audit.note(session, body.path)  # whoever has the address is let in, as with a key
    signer: Signer = request.app.state.signer
    signature, ends = signer.sign(sender, body.path, timedelta(seconds=body.expires_s))
    response.headers["Cache-Control"] = "no-store"
    return documents.SignedUrl(url=f"{address}{body.path}?{PARAMETER}={signature}", expires=ends)
