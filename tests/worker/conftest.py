"""The tests of the worker use the same new databases as those of the app."""

from tests.app.conftest import services, settings

__all__ = ["services", "settings"]
