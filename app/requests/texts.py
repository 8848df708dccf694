"""Texts in the bodies of requests: which are names, titles, references and times."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from ml.frozen import Frozen
from ml.text import is_storable, is_visible_name


def storable(text: str) -> str:
    """Return `text` unchanged, or raise ValueError if it has control characters or lone surrogates.

    Databases and terminals cannot handle these. A newline and a tab are allowed.
    """
    if not is_storable(text):
        raise ValueError("remove the control characters")
    return text


def shown(text: str) -> str:
    """Return `text` unchanged, or raise ValueError if it cannot be a name that people read."""
    if not is_visible_name(text):
        raise ValueError("write a title on one line, with a visible character and without control characters")
    return text


Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable)]
Moment = Annotated[
    str,
    StringConstraints(max_length=40),
    Field(
        description="Date or RFC 3339 time.",
        json_schema_extra={"anyOf": [{"format": "date"}, {"format": "date-time"}]},
    ),
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}$"),
    Field(description="1 to 80 characters of A-Z a-z 0-9 . _ - of which the first is not a dot."),
]
Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(shown),
    Field(description="A name for people, in any script, on one line."),
]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]


def example(body: dict[str, Any]) -> ConfigDict:
    """The configuration of a body that the documents of the API show with this example."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class TitlePatch(Frozen):
    """Change the title of a resource. null removes it."""

    model_config = example({"title": "武鸣 2018"})

    title: Title | None
