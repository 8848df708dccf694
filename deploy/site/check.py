"""Checks a built site: every link leads to a page and a place in it, and nothing is loaded from another host.

python deploy/site/check.py FOLDER
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_IN_CSS = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)|@import\s+[\"']((?:https?:)?//[^\"']+)")
_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
_NOT_LOADED = {"canonical", "prev", "next", "alternate", "edit"}  # relations of <link> that only name a page


class Page(HTMLParser):
    """A page: ids are the places in it, links lead to other pages, loaded is what a browser fetches to show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        known = {name: value or "" for name, value in attributes}
        self.ids |= {known[name] for name in ("id", "name") if known.get(name)}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        if tag in _LOADED and known.get(_LOADED[tag]) and not set(known.get("rel", "").split()) & _NOT_LOADED:
            self.loaded.append(known[_LOADED[tag]])


def faults(site: Path) -> Iterator[str]:
    """What is wrong with a site."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        if path.name == "404.html":  # it is shown at any address, so its links begin at the root
            continue
        for link in page.links:
            if why := _broken(link, path, pages):
                yield f"{path.relative_to(site)}: {link}: {why}"
        for address in page.loaded:
            parts = urlsplit(address)
            if parts.netloc:
                yield f"{path.relative_to(site)}: loads {address} from another host"
            elif parts.path and not (path.parent / unquote(parts.path)).exists():
                yield f"{path.relative_to(site)}: {address} is not there"
    for path in site.rglob("*.css"):
        for match in _IN_CSS.finditer(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads {match[1] or match[2]} from another host"


def _broken(link: str, path: Path, pages: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():  # a server answers with the page of the folder
        target /= "index.html"
    if not target.is_file():
        return "there is no such page"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "there is no such place in the page"
    return ""


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1]).resolve()))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)
