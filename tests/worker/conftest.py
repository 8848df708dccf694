"""The worker works on the same fresh databases as the app."""

from tests.app.conftest import services, settings

__all__ = ["services", "settings"]
