"""The hints of the service speak of requests. Here they are put in terms of commands and options."""

import re

from app.cli.language import told
from app.client import Json

PARAMETERS = (
    "acquired|sensor|bands|nodata|class_field|classes|crs|background|field_id|layer|"
    "code_field|name_field|parent_field|zones|labeller"
)
SEE_DOCS = ("See /docs for what is allowed here.", "`--help` says what is allowed here.")
TERMS = (
    (r"\?cascade=true", "--cascade"),
    (r"&dry_run=true", "--dry-run"),
    (r"GET /v1/jobs/([\w:.-]*\w)", r"`canemap jobs \1`"),
    (r"DELETE /v1/jobs/(\S+)", r"`canemap jobs \1 --dismiss`"),
    (r"DELETE /v1/models/([^/\s]+)/versions/(\S+)", r"`canemap delete model \1:\2`"),
    (r"DELETE /v1/(labels|zones)/(\S+)", r"`canemap delete \1 \2`"),
    (r"DELETE /v1/(\w+)s/([^/\s]+)(?!\S)", r"`canemap delete \1 \2`"),
    (r"PUT /v1/models/([^/\s]+)/aliases/(\S+)", r"`canemap promote \1 VERSION --alias \2`"),
    (r"POST /v1/jobs/(\S+)/retry", r"`canemap retry \1`"),
    (r"PUT /v1/scenes/\S*\w", "canemap upload FILE"),
    (r"PUT /v1/labels/\S*\w", "canemap label FILE"),
    (r"PUT /v1/zones/\S*\w", "canemap zones upload FILE"),
    (r"POST /v1/datasets", "canemap dataset"),
    (r"GET /v1/zones\b(?!/)", "`canemap zones list`"),
    (r"GET /v1/(survey|sample)s\b(?!/)", r"`canemap \1 list`"),
    (r"GET /v1/(\w+)\b(?!/)", r"`canemap \1`"),
    (rf"\??\b({PARAMETERS})=(?=\.\.\.)", lambda found: f"{option(found[1])} "),
    (rf"\??\b({PARAMETERS})=(?=\.(?!\d)|[ ,:;)]|$)", lambda found: option(found[1])),
    (rf"\??\b({PARAMETERS})=", lambda found: f"{option(found[1])} "),
    # not in a list of the attributes of a layer, where the commonest texts follow in brackets
    (r"\b(class_field|field_id|code_field|name_field|parent_field)\b(?!=| \()", lambda found: option(found[1])),
    (r"\b(?:split\.)?(block_px|buffer_px)\b", lambda found: option(found[1])),
    (r"/docs(?= lists the keys| 列出了可用的键)", "docs/http-api.md"),
)

PLACES = {
    "/id": "--name",
    "/split/block": "--blocks",
    "/split/block/block_px": "--block-px",
    "/split/block/buffer_px": "--buffer-px",
}


def in_terms_of_commands(fault: Json) -> Json:
    """A fault in the language of the command. Its hint and pointer name options instead of parts of requests."""
    asked, answered = SEE_DOCS
    hint = commands_in(told(str(fault.get("hint") or "").replace(asked, answered)))
    detail, place = commands_in(told(str(fault.get("detail", "")))), _place(str(fault.get("pointer", "")))
    return fault | {"detail": detail, "hint": hint, "pointer": place}


def commands_in(text: str) -> str:
    """A text with commands and options in place of requests."""
    for pattern, replacement in TERMS:
        text = re.sub(pattern, replacement, text)
    return text


def option(name: str) -> str:
    """The option for a query parameter: --class-field for class_field."""
    return f"--{name.replace('_', '-')}"


def _place(pointer: str) -> str:
    if pointer.startswith("query:"):
        return option(pointer.removeprefix("query:"))
    if pointer.startswith("header:"):
        return ""  # a command has no headers: the key is a variable
    if pointer in PLACES:
        return PLACES[pointer]
    if pointer.startswith("/config/"):
        return f"--set {pointer.removeprefix('/config/').replace('/', '.')}"
    return pointer
