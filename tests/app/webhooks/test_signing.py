"""Signatures are those of Standard Webhooks."""

import base64

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from app.core.columns import now
from app.webhooks import signing

# the example of the specification's own test suite
SECRET, ID = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP, BODY = 1614265330, '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_has_the_published_signature() -> None:
    assert signing.signature(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE


def test_a_secret_is_random_and_of_the_length_that_is_asked_for() -> None:
    made = [signing.new_secret() for _ in range(3)]
    assert len(set(made)) == 3
    assert all(24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64 for secret in made)


def test_the_reference_library_verifies_what_either_of_two_secrets_signed() -> None:
    secrets, body = [signing.new_secret(), signing.new_secret()], '{"type":"job.successful","data":"甘蔗"}'
    headers = signing.headers(secrets, "evt_1", int(now().timestamp()), body)
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == {"type": "job.successful", "data": "甘蔗"}
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body.replace("甘", "干"), headers)
