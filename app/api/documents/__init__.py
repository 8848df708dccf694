"""The documents with which the API answers: a pydantic model for each resource, built from table rows by `of`.

Each is here by its name. All modules are loaded when the first one is asked for, and not before: a command that needs
the documents of one module imports that module, and not the whole service.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.api.documents.whole import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load all documents, and put them here, so that this is called once."""
    whole = import_module("app.api.documents.whole")
    if name not in whole.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update({each: getattr(whole, each) for each in whole.__all__})
    return getattr(whole, name)
