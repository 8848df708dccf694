"""Over TLS the certificate must be valid for the name of the URL, although the connection goes to an address."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.webhooks import sending
from app.webhooks.addresses import Policy
from tests.app.webhooks.receivers import LOOPBACK, Receiver, receiving

NAME = "receiver.test"


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on the loopback with a certificate for `NAME`, which every name of .test leads to."""
    if not shutil.which("openssl"):
        pytest.skip("nothing here can make a certificate: install openssl")
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}", *files]
    subprocess.run([*request, "-addext", f"subjectAltName=DNS:{NAME}"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with receiving(tls=context) as receiver:
        yield receiver


async def _send(url: str) -> tuple[int | None, str]:
    answer = await sending.send(url, {}, "{}", Policy((ip_network(LOOPBACK),)), 5)
    return answer.status_code, answer.detail


def test_a_certificate_that_is_trusted_must_be_for_the_name(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = (
        None,
        "The certificate of the receiver is not valid for its name, or nobody who is trusted has signed it.",
    )
    sending._trusted.cache_clear()
    assert asyncio.run(_send(f"https://{NAME}:{receiver.port}/")) == refused
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    sending._trusted.cache_clear()
    assert asyncio.run(_send(f"https://{NAME}:{receiver.port}/")) == (204, "")
    assert asyncio.run(_send(f"https://other.test:{receiver.port}/")) == refused
    sending._trusted.cache_clear()
    (got,) = receiver.received
    assert got.headers["host"] == f"{NAME}:{receiver.port}"


def test_a_receiver_without_tls_is_not_spoken_to_in_plain(receiver: Receiver) -> None:
    with receiving() as plain:
        code, detail = asyncio.run(_send(f"https://{NAME}:{plain.port}/"))
    assert code is None and detail and plain.received == []
