"""Lays out the sources of the documentation site, from which `make docs` builds it: pages, the API's reference, a menu.

    python deploy/site/prepare.py FOLDER

The pages keep their places relative to each other, so their links stay right; README.md becomes the front page. Nothing
of the site comes from another host.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import fastapi_offline

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.main import create_app

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/peers/README.md")
LISTED = {  # folders to which pages link: each gets a page that lists its files
    "docs/decisions": "Decisions",
    "examples": "Examples",
    "benchmarks/job_machines": "Reliability beside others",
    "benchmarks/soak": "The soak test",
    "deploy/proxy": "Proxies",
    "deploy/systemd": "Units of systemd",
    "deploy/prometheus": "Alerts of Prometheus",
}
# of the files that such a page shows, by their suffixes; a Caddyfile has none
LANGUAGES = {".py": "py", ".sh": "sh", ".conf": "nginx", ".service": "ini", ".yml": "yaml", "": "text"}
API_REFERENCE = "api/index.html"  # a page of HTML, without a title that the menu could take
MENU = {
    "Start": ("README.md", "docs/install.md", "docs/tutorial.md", "docs/faq.md"),
    "Use": (
        *("docs/http-api.md", API_REFERENCE, "docs/areas.md", "docs/surveys.md", "docs/samples.md"),
        "docs/radiometry.md",
        "docs/settings.md",
        "examples/README.md",
    ),
    "Operate": ("docs/operations.md", "docs/gpu.md", "docs/security.md", "docs/reliability.md", "docs/performance.md"),
    "Science": ("docs/estimators.md", "docs/paper.md", "docs/results.md"),
    "中文": (
        *("README.zh.md", "docs/zh/quick-start.md", "docs/zh/labels.md", "docs/zh/areas.md", "docs/zh/report.md"),
        "docs/zh/faq.md",
    ),
    "Develop": (
        *("docs/architecture.md", "docs/glossary.md", "docs/decisions/README.md", "CONTRIBUTING.md"),
        *("benchmarks/peers/README.md", "benchmarks/soak/README.md", "SECURITY.md", "CHANGELOG.md"),
    ),
}
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_NOT_RUN = re.compile(r"^```([a-z]+) not run: .*$", re.MULTILINE)
_FOLDER_LINK = re.compile(r"\]\(((?!https?:)[^)#]+?)/?\)")
_LICENCE = re.compile(r"\[([^]]+)\]\([./]*LICENSE\)")

API_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>HTTP API reference - canemap</title>
<link rel="icon" href="favicon.png"><link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<p style="font-family: sans-serif; margin: 1em"><a href="../index.html">canemap</a> &middot; openapi.json:
<a href="openapi.json">for generators of clients</a></p>
<div id="reference"></div>
<script src="swagger-ui-bundle.js"></script>
<script>
const description = %s;
SwaggerUIBundle({spec: description, dom_id: "#reference", supportedSubmitMethods: [], validatorUrl: null});
</script>
</body>
</html>
"""

CONFIG = """[project]
site_name = "canemap"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = [
{menu}
]

[project.theme]
language = "en"
font = false
features = ["navigation.sections", "navigation.top", "navigation.footer", "content.code.copy", "search.highlight"]

[project.markdown_extensions]
tables = {{}}
md_in_html = {{}}
attr_list = {{}}
pymdownx.superfences = {{}}
pymdownx.highlight = {{}}

# places as the repository's pages have them, also under Chinese headings
[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}
"""


def prepare(folder: Path) -> None:
    """Write the pages, the reference of the API and the configuration of Zensical into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("*.yaml"))
    for name in COPIED:
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, pages / name)
    for name, title in LISTED.items():
        _list(name, title, pages)
    for page in pages.rglob("*.md"):
        page.write_text(_adapted(page.read_text(encoding="utf-8"), page), encoding="utf-8")
    (pages / "README.md").rename(pages / "index.md")
    _write_reference(pages / "api")
    (folder / "zensical.toml").write_text(CONFIG.format(menu=",\n".join(_menu())), encoding="utf-8")


def _list(name: str, title: str, pages: Path) -> None:
    """Write a page for a folder: links to its pages, and the text of its files."""
    lines = [f"# {title}", ""]
    for file in sorted((ROOT / name).iterdir()):
        if file.suffix == ".md":
            lines.append(f"* [{_title(file)}]({file.name})")
        elif file.is_file() and (language := LANGUAGES.get(file.suffix)):
            lines += [f"## {file.name}", "", f"```{language}", file.read_text(encoding="utf-8").rstrip(), "```"]
    (pages / name).mkdir(parents=True, exist_ok=True)
    (pages / name / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("# ")[2].partition("\n")[0]


def _adapted(text: str, page: Path) -> str:
    """The text of a page for the site: plain fences, links to folders as links to their pages."""

    def of_folder(match: re.Match[str]) -> str:
        target = match[1]
        return f"]({target}/README.md)" if (page.parent / target).is_dir() else match[0]

    text = _FOLDER_LINK.sub(of_folder, _LICENCE.sub(r"\1", _NOT_RUN.sub(r"```\1", text)))
    root = "../" * (len(page.parts) - page.parts.index("pages") - 2)
    return text.replace(f"]({root}README.md)", f"]({root}index.md)")


def _write_reference(folder: Path) -> None:
    """Write the reference of the HTTP API, as /docs of the service shows it, from /openapi.json."""
    folder.mkdir()
    for name in SWAGGER:
        shutil.copy(Path(fastapi_offline.__file__).parent / "static" / name, folder / name)
    description = json.dumps(create_app().openapi(), ensure_ascii=False)
    (folder / "openapi.json").write_text(description, encoding="utf-8")
    (folder / "index.html").write_text(API_PAGE % description.replace("</", "<\\/"), encoding="utf-8")


def _menu() -> Iterable[str]:
    for section, names in MENU.items():
        entries = ", ".join(map(_entry, names))
        yield f'  {{ "{section}" = [{entries}] }}'


def _entry(name: str) -> str:
    if name == API_REFERENCE:
        return f'{{ "API reference" = "{name}" }}'
    return '"index.md"' if name == "README.md" else f'"{name}"'


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())
