"""Both READMEs have the same commands, and the links of the Chinese pages lead to files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
PAGES = sorted([ROOT / "README.zh.md", *(ROOT / "docs/zh").glob("*.md")])


def _blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_both_readmes_have_the_same_blocks_of_code() -> None:
    assert _blocks(ROOT / "README.md")
    assert _blocks(ROOT / "README.zh.md") == _blocks(ROOT / "README.md")


def test_the_chinese_tour_has_commands_of_the_readme() -> None:
    known = set((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    tour = next(block for block in _blocks(ROOT / "docs/zh/quick-start.md") if "canemap upload" in block)
    strange = [line for line in tour.splitlines()[1:-1] if not any(line in each for each in known)]
    assert strange == []


def test_both_readmes_begin_with_a_link_to_each_other() -> None:
    for page, other in (("README.md", "README.zh.md"), ("README.zh.md", "README.md")):
        assert f"({other})" in (ROOT / page).read_text(encoding="utf-8").partition("\n")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_chinese_page_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []
