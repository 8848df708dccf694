"""The website of the documentation: its sources hang together, and its check finds what it is for."""

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?!https?:|<)([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)

SLUGIFY = {"object": "pymdownx.slugs.slugify", "kwds": {"case": "lower"}}


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "deploy/site" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages of the site."""
    folder, before = tmp_path_factory.mktemp("site") / "docs", [*sys.path]
    loaded("prepare").prepare(folder)
    sys.path[:] = before
    return folder / "pages"


def anchors(page: Path) -> set[str]:
    """The places that headings make, in the repository and, with the names of `SLUGIFY`, on the site."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", text).strip().lower().replace(" ", "-") for text in headings}


def test_every_link_of_every_page_leads_to_a_page_and_a_place_in_it(prepared: Path) -> None:
    broken = []
    for page in prepared.rglob("*.md"):
        for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
            path, _, place = link.partition("#")
            target = page.parent / path if path else page
            if not target.is_file() or (place and place not in anchors(target)):
                broken.append((str(page.relative_to(prepared)), link))
    assert broken == []


def test_the_site_names_places_in_any_script(prepared: Path) -> None:
    """Python-Markdown's own names lack every Chinese letter."""
    config = tomllib.loads((prepared.parent / "zensical.toml").read_text(encoding="utf-8"))
    assert config["project"]["markdown_extensions"]["toc"]["slugify"] == SLUGIFY


def test_every_page_of_the_menu_is_there_and_every_page_of_docs_is_in_the_menu(prepared: Path) -> None:
    menu = {name for names in loaded("prepare").MENU.values() for name in names} - {"README.md"} | {"index.md"}
    assert [name for name in menu if not (prepared / name).is_file()] == []
    pages = {str(page.relative_to(ROOT)) for folder in ("docs", "docs/zh") for page in (ROOT / folder).glob("*.md")}
    assert pages - menu == set()


def test_every_entry_of_the_menu_has_a_title(prepared: Path) -> None:
    """A page of Markdown brings its own; that of any other page, without one, would be shown as "none"."""
    config = tomllib.loads((prepared.parent / "zensical.toml").read_text(encoding="utf-8"))
    entries = [entry for section in config["project"]["nav"] for entries in section.values() for entry in entries]
    assert [entry for entry in entries if isinstance(entry, str) and not entry.endswith(".md")] == []
    assert {"API reference": "api/index.html"} in entries


def test_the_reference_has_the_description_of_the_api(prepared: Path) -> None:
    page = (prepared / "api/index.html").read_text(encoding="utf-8")
    description = json.loads((prepared / "api/openapi.json").read_text(encoding="utf-8"))
    assert "/v1/scenes/{id}/preview.png" in description["paths"]
    assert "get_scene_preview" in page
    assert all((prepared / "api" / name).stat().st_size for name in loaded("prepare").SWAGGER)


def test_no_page_shows_why_a_command_is_not_run(prepared: Path) -> None:
    fences = [line for page in prepared.rglob("*.md") for line in page.read_text(encoding="utf-8").splitlines()]
    assert [line for line in fences if line.startswith("```") and "not run:" in line] == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="gone.html">x</a>', "no such page"),
        ('<a href="other.html#gone">x</a>', "no such place"),
        ('<script src="https://cdn.example.org/x.js"></script>', "another host"),
        ('<img src="//cdn.example.org/x.png">', "another host"),
        ('<link rel="stylesheet" href="https://fonts.example.org/x.css">', "another host"),
        ('<link rel="stylesheet" href="gone.css">', "is not there"),
        ('<link rel="stylesheet" href="fonts.css">', "fonts.css: loads https://fonts.example.org/a.woff2"),
        ('<a href="other.html#here">x</a><a href="https://example.org/">y</a><a href="#me" id="me">z</a>', ""),
    ],
)
def test_the_check_finds_broken_links_and_what_comes_from_elsewhere(tmp_path: Path, html: str, fault: str) -> None:
    (tmp_path / "index.html").write_text(html)
    (tmp_path / "other.html").write_text('<p id="here">')
    if "fonts.css" in html:
        (tmp_path / "fonts.css").write_text("@font-face { src: url('https://fonts.example.org/a.woff2') }")
    found = list(loaded("check").faults(tmp_path))
    assert (fault in found[0]) if fault else found == []
