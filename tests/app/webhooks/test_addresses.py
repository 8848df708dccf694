"""No URL and no answer of DNS leads a message to where it must not go."""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from app.core.errors import Invalid
from app.settings import Settings
from app.webhooks.addresses import Policy, check_url, is_public, parse
from app.webhooks.sending import send
from tests.app.webhooks.receivers import LOOPBACK, receiving

MALFORMED = [
    *("", "portal.example.org", "//portal.example.org/", "ftp://portal.example.org/", "file:///etc/passwd"),
    *("https:///x", "https://", "https:portal.example.org", "HTTPS://portal.example.org/", "https://:443/"),
    *("https://user@portal.example.org/", "https://user:pass@portal.example.org/", "https://a@b@portal.example.org/"),
    *("https://portal.example.org\\@127.0.0.1/", "https:\\\\portal.example.org/", "https://portal.example.org/#a"),
    *("https://portal.example.org:0/", "https://portal.example.org:65536/", "https://portal.example.org:x/"),
    *("https://portal.example.org:/", "https://portal.example.org:443:80/", "https://portal example.org/"),
    *("https://portal.example.org/\r\nHost: x", "https://portal.example.org/\x00", "https://portal.example.org/甘"),
    *("https://localhost./", "https://.example.org/", "https://a..b/", "https://-a.example.org/", "https://a.-b/"),
    *("https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/"),
    *("https://127.0.0.01/", "https://127.0.0.0x1/", "https://127.0.0.1./", "https://1.2.3.4.5/", "https://0/"),
    *("https://[::1/", "https://[::1%25lo]/", "https://[fe80::1%eth0]/", "https://[127.0.0.1]/", "https://[]/"),
    *("https://[::ffff:1.2.3.4.5]/", "https://::1/", "https://[v1.a]/", "https://portal.example.org]/"),
    *("https://пример.рф/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "https://１２７.0.0.1/", "https://127。0。0。1/", "https://%6c/"),
    *("https://" + "a" * 64 + ".org/", "https://" + "a." * 130 + "org/", " https://portal.example.org/"),
]
NOT_PUBLIC = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "169.254.0.23", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250"),
    *("192.88.99.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1"),
    *("2001::1", "2001:0:a00:1::", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
    *("100::1", "2001:10::1", "2001:20::1", "3fff::1", "4000::1", "e000::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "223.5.5.5", "2400:3200::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("url", MALFORMED)
def test_what_can_be_read_in_two_ways_is_no_url(url: str) -> None:
    assert parse(url) is None
    with pytest.raises(Invalid) as refused:
        check_url(url, Policy((ip_network("0.0.0.0/0"), ip_network("::/0"))))
    assert [fault.code for fault in refused.value.faults] == ["invalid_url"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_in_every_form(address: str) -> None:
    assert not is_public(ip_address(address))
    written = f"[{address}]" if ":" in address else address
    with pytest.raises(Invalid) as refused:
        check_url(f"https://{written}/", Policy())
    assert [fault.code for fault in refused.value.faults] == ["forbidden_address"]
    assert address not in str(refused.value.faults), "it tells nothing of the network"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_accepted(address: str) -> None:
    assert is_public(ip_address(address))
    check_url(f"https://{f'[{address}]' if ':' in address else address}:8443/x?y=z", Policy())


def test_the_parts_of_a_url_are_those_that_are_sent() -> None:
    target = parse("https://Portal.Example.org:8443/a%20b?c=d&e")
    assert target and (target.host, target.port, target.rest) == ("portal.example.org", 8443, "/a%20b?c=d&e")
    assert target.authority == "portal.example.org:8443"
    bare = parse("https://[2400:3200:0:0::1]?x")
    assert bare and (bare.host, bare.rest, bare.authority) == ("2400:3200::1", "/?x", "[2400:3200::1]")


def test_http_leads_only_to_networks_of_the_settings() -> None:
    own = Policy.of(Settings(webhook_networks=f"{LOOPBACK}, 10.1.0.0/16,fd00::/8"))
    for url in ("http://127.0.0.1:9000/", "https://127.0.0.1/", "http://10.1.2.3/", "http://[fd00::1]/"):
        check_url(url, own)
    for url in ("http://8.8.8.8/", "http://10.2.0.1/", "https://10.2.0.1/", "https://[::1]/"):
        with pytest.raises(Invalid):
            check_url(url, own)
    with pytest.raises(Invalid, match="https"):
        check_url("http://8.8.8.8/", Policy())


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function that lets names have these addresses, one group after the other; returns the names asked for."""

    def resolve(*answers: list[str]) -> list[str]:
        asked: list[str] = []
        plain = socket.getaddrinfo

        def ask(host: str, port: int, *others: object, **more: object) -> list[object]:
            if not host.endswith(".test"):
                return list(plain(host, port, *others, **more))  # type: ignore[arg-type]
            asked.append(host)
            found = answers[min(len(asked), len(answers)) - 1]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
            return [(kind, 1, 6, "", (address, port)) for kind, address in zip(kinds, found, strict=True)]

        monkeypatch.setattr(socket, "getaddrinfo", ask)
        return asked

    return resolve


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["8.8.8.8", "fe80::1%1"], ["10.0.0.7"]])
def test_a_name_with_one_private_address_is_refused(resolves: Callable[..., list[str]], found: list[str]) -> None:
    resolves(found)
    with pytest.raises(Invalid):
        check_url("https://portal.test/", Policy())


def test_a_name_without_an_address_can_be_registered(resolves: Callable[..., list[str]]) -> None:
    resolves([])
    check_url("https://portal.test/", Policy())
    with pytest.raises(Invalid, match="https"):
        check_url("http://portal.test/", Policy())


async def _send(url: str, policy: Policy) -> tuple[int | None, str]:
    answer = await send(url, {}, "{}", policy, 1.0)
    return answer.status_code, answer.detail


def test_a_name_that_changes_after_the_check_leads_nowhere_else(resolves: Callable[..., list[str]]) -> None:
    policy = Policy((ip_network("127.0.0.1/32"),))
    with receiving() as receiver:
        url = f"http://rebound.test:{receiver.port}/"
        asked = resolves(["127.0.0.1"], ["127.0.0.2"])
        assert asyncio.run(_send(url, policy)) == (204, "")
        assert asked == ["rebound.test"], "the connection went to the address that was checked"
        assert receiver.received[0].headers["host"] == f"rebound.test:{receiver.port}"
        refused = asyncio.run(_send(url, policy))  # now the name has changed
        assert refused == (None, "A message may be sent there only over https.") and len(receiver.received) == 1


def test_a_registered_name_is_checked_again_at_each_attempt(resolves: Callable[..., list[str]]) -> None:
    resolves(["169.254.169.254"])
    assert asyncio.run(_send("https://portal.test/", Policy())) == (
        None,
        "The host has an address that is not public.",
    )
    resolves([])
    assert asyncio.run(_send("https://portal.test/", Policy())) == (None, "The name of the host has no address.")


def test_the_next_address_is_tried_if_one_does_not_answer(resolves: Callable[..., list[str]]) -> None:
    with receiving() as receiver:
        resolves(["127.0.0.9", "127.0.0.1"])
        got = asyncio.run(_send(f"http://portal.test:{receiver.port}/", Policy((ip_network(LOOPBACK),))))
    assert got == (204, "")


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert asyncio.run(_send(receiver.url, Policy((ip_network(LOOPBACK),)))) == (204, "")
    assert (len(receiver.received), len(proxy.received)) == (1, 0)


@pytest.mark.parametrize("networks", ["nonsense", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1;10.0.0.1"])
def test_networks_that_are_none_are_refused(networks: str) -> None:
    with pytest.raises(ValueError, match="write networks"):
        Settings(webhook_networks=networks)


def test_all_addresses_of_the_tables_are_different() -> None:
    every = [*NOT_PUBLIC, *PUBLIC]
    assert len({ip_address(each) for each in every}) == len(every) and len(set(MALFORMED)) >= 50
