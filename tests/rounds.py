"""How many random cases tests try: few, or with CANEMAP_TEST_ROUNDS that many times as many (`make thorough`)."""

import os

ROUNDS = int(os.environ.get("CANEMAP_TEST_ROUNDS", "1"))


def rounds(usual: int) -> int:
    """The number of cases for a test that usually tries `usual` of them."""
    return usual * ROUNDS
