"""The hints of the service speak of requests. Here they are put in terms of commands and options."""

import re

from app.client import Json

PARAMETERS = "acquired|sensor|bands|nodata|class_field|classes|crs|background|field_id|layer"
TERMS = (
    (r"PUT /v1/scenes/\S*\w", "canemap upload FILE"),
    (r"PUT /v1/labels/\S*\w", "canemap label FILE"),
    (r"POST /v1/datasets", "canemap dataset"),
    (r"GET /v1/(\w+)\b(?!/)", r"`canemap \1`"),
    (rf"\??\b({PARAMETERS})=(?=\.(?!\d)|[ ,:;)]|$)", lambda found: option(found[1])),
    (rf"\??\b({PARAMETERS})=", lambda found: f"{option(found[1])} "),
    (r"\b(class_field|field_id)\b(?!=)", lambda found: option(found[1])),
    (r"See /docs for what is allowed here\.", "`--help` says what is allowed here."),
    (r"/docs lists the keys\.", "docs/http-api.md lists the keys."),
)


def in_terms_of_commands(fault: Json) -> Json:
    """A fault whose hint and pointer name options of commands instead of parts of requests."""
    hint = str(fault.get("hint", ""))
    for pattern, replacement in TERMS:
        hint = re.sub(pattern, replacement, hint)
    return fault | {"hint": hint, "pointer": _place(str(fault.get("pointer", "")))}


def option(name: str) -> str:
    """The option for a query parameter: --class-field for class_field."""
    return f"--{name.replace('_', '-')}"


def _place(pointer: str) -> str:
    if pointer.startswith("query:"):
        return option(pointer.removeprefix("query:"))
    if pointer == "/id":
        return "--name"
    if pointer.startswith("/config/"):
        return f"--set {pointer.removeprefix('/config/').replace('/', '.')}"
    return pointer
