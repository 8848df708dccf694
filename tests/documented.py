"""The commands in the documentation: fenced blocks of README.md, CONTRIBUTING.md, docs/*.md and docs/zh/*.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(page for folder in ("docs", "docs/zh") for page in sorted((ROOT / folder).glob("*.md"))),
)
RUN_IN = {"sh": "shell", "bash": "shell", "console": "shell", "python": "python"}
_FENCE = re.compile(r"^```([a-z]+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r" not run: (?P<why>\S.*)")


@dataclass(frozen=True)
class Block:
    """A block of commands.

    place: Page and first words, for messages. language: "shell" or "python". why_not: Why no test runs it, or None.
    """

    place: str
    language: str
    text: str
    why_not: str | None


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order. One with the info string "sh not run: REASON" is not run."""
    for language, info, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in RUN_IN:
            found = _NOT_RUN.fullmatch(info)
            assert found or not info, f"{page.name}: what does the info string {info!r} mean?"
            yield Block(f"{page.name}: {text[:40]!r}", RUN_IN[language], text, found["why"] if found else None)
