"""Secrets that somebody has put where they do not belong, for instance a key into a path, are not written down."""

import re

# a key of a program, of which the id is no secret, or the secret of a webhook
_SECRET = re.compile(r"(cm_[0-9a-z]{8}_)[0-9A-Za-z]{16,}|(whsec_)[0-9A-Za-z+/=_-]{16,}")


def masked(text: str) -> str:
    """`text` with dots in the place of secrets."""
    return _SECRET.sub(r"\1\2...", text)
