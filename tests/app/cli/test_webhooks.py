"""`canemap webhooks`, run as a person or a script runs it, against a real service and a real receiver."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from app.settings import Settings
from tests import commands
from tests.app.api.conftest import serving
from tests.app.webhooks.conftest import settings_on_sqlite
from tests.app.webhooks.receivers import answer, receiving
from tests.waiting import eventually

__all__ = ["settings_on_sqlite"]


@pytest.fixture
def url(settings_on_sqlite: Settings) -> Iterator[str]:
    """The address of a service whose webhooks may lead to the loopback."""
    with serving(settings_on_sqlite) as http:
        yield str(http.base_url)


def canemap(url: str, *arguments: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"CANEMAP_URL": url, "COLUMNS": "200", "CANEMAP_LANG": language}
    return commands.run("webhooks", *arguments, env=environment)


def test_a_webhook_from_its_registration_to_its_end(url: str) -> None:
    with receiving(answer(500), answer(204)) as receiver:
        made = canemap(url, "create", receiver.url, "--event", "job.successful", "--title", "门户")
        secret = made.stdout.strip()
        assert secret.startswith("whsec_") and len(secret.split()) == 1 and secret not in made.stderr
        id_ = next(word for word in made.stderr.split() if word.startswith("whk_"))
        tried = canemap(url, "test", id_)
        assert tried.returncode == 4 and "The receiver answered 500." in tried.stdout, tried.stderr
        delivery = tried.stdout.split()[1].rstrip(":")

        def redelivers() -> bool:
            again = json.loads(canemap(url, "redeliver", id_, delivery, "--json").stdout)
            return (again["id"], again["type"]) == (delivery, "webhook.test")

        eventually(redelivers)  # it is refused while the second attempt, which comes by itself, goes on
        assert len({got.id for got in receiver.wait_for(2)}) == 1
        assert canemap(url, "test", id_).returncode == 0
    listed = canemap(url, "list")
    assert id_ in listed.stdout and "门户" in listed.stdout and secret not in listed.stdout
    assert "webhook.test" in canemap(url, "deliveries", id_).stdout
    other = canemap(url, "rotate", id_, "--overlap", "1h")
    assert other.stdout.startswith("whsec_") and other.stdout.strip() != secret
    assert "已停用" in canemap(url, "disable", id_, language="zh").stdout
    assert json.loads(canemap(url, "change", id_, "--title", "x", "--json").stdout)["enabled"] is False
    assert "is enabled" in canemap(url, "enable", id_).stdout
    assert canemap(url, "delete", id_).returncode == 0
    gone = canemap(url, "deliveries", id_)
    assert gone.returncode == 3 and "`canemap webhooks list`" in gone.stderr, gone.stderr


def test_a_wrong_address_is_refused_with_what_to_do(url: str) -> None:
    refused = canemap(url, "create", "https://10.0.0.1/")
    assert refused.returncode == 3 and "not public" in refused.stderr and "https address" in refused.stderr
