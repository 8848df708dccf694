"""The documentation is complete: what is not written does not exist."""

from pathlib import Path

from app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`CANEMAP_{name.upper()}`" not in page]
    assert missing == []
