"""The documentation is complete: it has every setting, every config key and every resource.

`tests/e2e/test_documented_commands.py` runs its commands.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from app.main import create_app
from app.settings import Settings
from ml.config import LossConfig, PredictConfig, TrainConfig
from tests.documented import PAGES, blocks

ROOT = Path(__file__).resolve().parents[1]


def table(config: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """A line of a Markdown table for each key of a config: key, default and description."""
    for name, field in config.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from table(type(field.default), f"{prefix}{name}.")
        else:
            default = json.dumps(field.default, default=list)
            yield f"| `{prefix}{name}` | `{default}` | {field.description} |"
    if config is TrainConfig:
        yield from table(LossConfig, "loss.")


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`CANEMAP_{name.upper()}`" not in page]
    assert missing == []


def test_every_config_key_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text().splitlines()
    missing = [row for row in (*table(TrainConfig), *table(PredictConfig)) if row not in page]
    assert missing == []


def test_every_resource_is_documented() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text()
    resources = {re.split(r"[/{]", path)[2] for path in create_app().openapi()["paths"] if path.startswith("/v1/")}
    assert [name for name in resources if f"/v1/{name}" not in page] == []


def test_every_path_that_a_page_names_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    path = re.compile(r"`((?:app|ml|worker|migrations|tests|benchmarks|examples|docs)/[\w./-]*)`")
    missing = [
        (page.name, name) for page in pages for name in path.findall(page.read_text()) if not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    assert any(block.why_not is None for block in found)
    assert [block.place for block in found if block.why_not and len(block.why_not.split()) < 3] == []


def test_every_name_of_the_glossary_is_in_the_file_beside_it() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    places = re.findall(r"((?:`[\w.]+`, )*`[\w.]+`) in `([\w/]+\.py)`", page)
    words = [(name, path) for names, path in places for name in re.findall(r"\w+", names)]
    missing = [(name, path) for name, path in words if not re.search(rf"\b{name}\b", (ROOT / path).read_text())]
    assert words
    assert missing == []
