"""Settings come from the environment, or from files that hold what no environment should show."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.settings import Settings

URL = "postgresql+psycopg://canemap:secret@db/canemap"


def test_a_setting_can_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANEMAP_SECRETS_DIR", str(tmp_path))
    (tmp_path / "canemap_database_url").write_text(f"{URL}\n")
    (tmp_path / "another_secret").write_text("of somebody else")
    assert Settings().database == URL
    assert Settings().broker == "filesystem://"


def test_a_variable_comes_before_the_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANEMAP_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("CANEMAP_DATABASE_URL", "sqlite:///x.db")
    (tmp_path / "canemap_database_url").write_text(URL)
    assert Settings().database == "sqlite:///x.db"


def test_a_folder_of_secrets_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded database in its place would be an empty service that looks well."""
    monkeypatch.setenv("CANEMAP_SECRETS_DIR", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="missing, which is not a folder"):
        Settings()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_as_the_tools_of_postgresql_write_it_gets_the_driver_that_is_installed(scheme: str) -> None:
    assert Settings(database_url=f"{scheme}://canemap:s%40cret@db/canemap?sslmode=require").database == (
        "postgresql+psycopg://canemap:s%40cret@db/canemap?sslmode=require"
    )


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@db/x", "mysql+pymysql://u:secret@db/x", "postgresql+psycopg2://u@db/x", "db"]
)
def test_another_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ValidationError, match=r"postgresql\+psycopg://user:password@host/canemap") as refused:
        Settings(database_url=url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense://there", "kafka://there", "memory://", "localhost:6379", "redis:there"])
def test_another_broker_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ValidationError, match="redis://host:6379/0"):
        Settings(broker_url=url)
