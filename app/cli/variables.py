"""Warns of variables of the environment that look like settings of canemap and are none, as misspelt ones are."""

import os
from difflib import get_close_matches

from app.cli.output import warn
from app.cli.texts import text

PREFIX = "CANEMAP_"
OF_THE_CLIENT = {"CANEMAP_URL", "CANEMAP_KEY", "CANEMAP_LANG"}
ELSEWHERE = {"CANEMAP_PORT", "CANEMAP_SECRETS_DIR"}  # docker-compose.yml reads the one, app.settings the other
OF_TESTS = "CANEMAP_TEST_"


def warn_of_unknown() -> None:
    """Name each unknown variable, with the setting that it resembles most."""
    named = {name for name in os.environ if name.upper().startswith(PREFIX)} - ELSEWHERE
    if named <= OF_THE_CLIENT:
        return
    try:
        from app.settings import Settings
    except ModuleNotFoundError:  # an installation of the client alone has no settings of a service
        return
    known = OF_THE_CLIENT | {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(name for name in named if name.upper() not in known and not name.startswith(OF_TESTS)):
        nearest = "".join(text("nearest", name=match) for match in get_close_matches(name.upper(), known, 1))
        warn(text("unknown_variable", variable=name, nearest=nearest))
