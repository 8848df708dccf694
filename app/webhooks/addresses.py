"""Which addresses a message may be sent to: public ones, and those in the networks that the settings name.

A URL is checked when it is registered. Its name is looked up again for each attempt: all its addresses are checked, and
the connection goes to one of these very addresses, so that a name that changes in between leads nowhere else.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from app.core.errors import refuse_any
from app.settings import Network, Settings
from ml.faults import Fault

Address = IPv4Address | IPv6Address
PORTS = {"https": 443, "http": 80}
LOOKUP_S = 3.0  # that a registration waits for the addresses of a name
# What is written otherwise is refused: libraries read user names, backslashes or foreign digits in different ways.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?"
)
_REST = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a name that ends so is an address to some libraries
_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What the standard library takes for public, in some of its versions at least: networks of protocols and of
# documentation, and an address that Azure has inside each of its hosts.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20"),
    )
)
_FORM = "Write it like https://portal.example.org/canemap: without a user name, a fragment or characters beyond ASCII."


class ForbiddenAddress(Exception):
    """A message must not be sent there. The text says why, and names no address."""


@dataclass(frozen=True)
class Target:
    """A URL that is well formed. host: A name in lower case, or an address without brackets. rest: Path and query."""

    scheme: str
    host: str
    port: int
    rest: str

    @property
    def authority(self) -> str:
        """Host and port, as the header Host has them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"


def parse(url: str) -> Target | None:
    """The parts of a URL, or None if it is not written in the one form that nobody can read in two ways."""
    match = _URL.fullmatch(url)
    if match is None or not _REST.fullmatch(match["rest"] or ""):
        return None
    host = _host(match["host"].lower())
    port = int(match["port"]) if match["port"] else PORTS[match["scheme"]]
    if host is None or not 0 < port < 65536:
        return None
    rest = match["rest"] or "/"
    return Target(match["scheme"], host, port, rest if rest.startswith("/") else f"/{rest}")


def _host(written: str) -> str | None:
    """A name, or an address in the form in which it is usually written; None for anything else."""
    labels = written.split(".")
    try:
        if written.startswith("["):
            return str(IPv6Address(written[1:-1]))
        if _NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(written))
    except ValueError:
        return None
    return written if len(written) <= 253 and all(map(_LABEL.fullmatch, labels)) else None


def is_public(address: Address) -> bool:
    """Whether an address can be reached from everywhere. One that carries an IPv4 address is judged by that too."""
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return is_public(inner) if inner is not None else address in _UNICAST and address.is_global


@dataclass(frozen=True)
class Policy:
    """Where messages may go. networks: Those that are allowed although they are not public, also without TLS."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """What the settings allow."""
        return cls(settings.networks_of_webhooks)

    def check(self, target: Target, found: list[Address]) -> None:
        """Raise `ForbiddenAddress` unless a message may be sent to each of the addresses of a target."""
        others = [address for address in found if not any(address in network for network in self.networks)]
        if target.scheme != "https" and (others or not self.networks):
            raise ForbiddenAddress("A message may be sent there only over https.")
        if not all(map(is_public, others)):
            raise ForbiddenAddress("The host has an address that is not public.")


def check_url(url: str, policy: Policy) -> None:
    """Raise `Invalid` with all that is wrong with the URL of a webhook.

    A name that has no address now is accepted: that may be so only here, or only now.
    """
    refuse_any("invalid-webhook", _faults(url, policy))


def _faults(url: str, policy: Policy) -> Iterator[Fault]:
    target = parse(url)
    if target is None:
        yield Fault("invalid_url", "This is no URL that a webhook can have.", _FORM, "/url")
        return
    try:
        found = look_up(target).result(LOOKUP_S)
    except (OSError, TimeoutError):
        found = []
    try:
        policy.check(target, found)
    except ForbiddenAddress as refused:
        hint = "Name an https address on the internet, or let whoever runs the service allow its network."
        yield Fault("forbidden_address", str(refused), hint, "/url")


def look_up(target: Target) -> Future[list[Address]]:
    """The addresses of a target, in the order in which to try them; an `OSError` if it has none.

    A thread of its own waits for them, because nothing can end a look-up.
    """
    future: Future[list[Address]] = Future()

    def ask() -> None:
        future.set_running_or_notify_cancel()  # from now on nobody can cancel it
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            future.set_result([ipaddress.ip_address(str(place[0])) for *_, place in found])
        except (OSError, ValueError) as error:
            future.set_exception(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return future
