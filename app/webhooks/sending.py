"""Sends one message to the receiver of a webhook: one POST to a checked address, without redirects and proxies."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version

import httpx2

from app.core.columns import now
from app.webhooks.addresses import Address, ForbiddenAddress, Policy, Target, look_up, parse

GONE = 410
MOST_ADDRESSES = 4  # of one host that are tried


@dataclass(frozen=True)
class Answer:
    """How an attempt ended. at: When it began. status_code: None if no answer came. detail: "" if it was accepted."""

    at: datetime
    seconds: float
    status_code: int | None
    detail: str

    @property
    def accepted(self) -> bool:
        """Whether the receiver has the message."""
        return not self.detail


class Unanswered(Exception):
    """No answer came. The text says why, in words that tell nothing of the network of this service."""


async def send(url: str, headers: dict[str, str], body: str, policy: Policy, timeout_s: float) -> Answer:
    """Send a message, and wait `timeout_s` at most for everything. Of the answer only the status is read."""
    at, start, code = now(), time.monotonic(), None
    try:
        async with asyncio.timeout(timeout_s):
            code = await _send(url, headers, body, policy, timeout_s)
        detail = "" if 200 <= code < 300 else _refusal(code)
    except TimeoutError:
        detail = f"The receiver did not answer within {timeout_s:g} s."
    except (ForbiddenAddress, Unanswered) as error:
        detail = str(error)
    return Answer(at, round(time.monotonic() - start, 3), code, detail)


def _refusal(code: int) -> str:
    if 300 <= code < 400:
        return f"The receiver answered {code}: redirects are not followed."
    return f"The receiver answered {code}."


async def _send(url: str, headers: dict[str, str], body: str, policy: Policy, timeout_s: float) -> int:
    target = parse(url)
    if target is None:
        raise ForbiddenAddress("The address is not one that a webhook can have.")
    try:
        found = await asyncio.wrap_future(look_up(target))
    except OSError:
        raise Unanswered("The name of the host has no address.") from None
    policy.check(target, found)
    why = ""
    for address in found[:MOST_ADDRESSES]:
        try:
            return await _post(target, address, headers, body, timeout_s)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            why = _why(error)
        except httpx2.TransportError:
            raise Unanswered("The receiver closed the connection without an answer of HTTP.") from None
    raise Unanswered(why)


def _why(error: BaseException | None) -> str:
    """Why there is no connection. error: With what it comes from."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "The certificate of the receiver is not valid for its name, or nobody who is trusted has signed it."
        error = error.__cause__ or error.__context__
    return "No connection to the receiver could be made."


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted: those of the system, or of SSL_CERT_FILE. Reading them takes some time."""
    return httpx2.create_ssl_context()


async def _post(target: Target, address: Address, headers: dict[str, str], body: str, timeout_s: float) -> int:
    """The status with which the receiver at one address answers. The name is that of the target, also for TLS."""
    place = f"[{address}]" if address.version == 6 else str(address)
    request = httpx2.Request(
        "POST",
        f"{target.scheme}://{place}:{target.port}{target.rest}",
        headers={"host": target.authority, "content-type": "application/json", "user-agent": _name(), **headers},
        content=body.encode(),
        extensions={"sni_hostname": target.host, "timeout": {"connect": timeout_s / MOST_ADDRESSES}},
    )
    async with httpx2.AsyncHTTPTransport(verify=_trusted(), trust_env=False) as transport:
        answer = await transport.handle_async_request(request)
        await answer.aclose()
    return answer.status_code


@cache
def _name() -> str:
    return f"canemap/{version('canemap')}"
