"""Finds in the source code what the service says to people."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic_core._pydantic_core import list_all_errors

from app.cli import app
from app.cli.common import with_common_options
from app.cli.help_texts import paragraphs, parts
from app.jobs.kinds import KINDS

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("app", "ml", "worker")
# it starts with a capital, a quotation mark or a value; what starts otherwise is a part of another sentence
SENTENCE = re.compile(r"(?!SELECT |UPDATE )[^\sa-z\\].* .*[.?!:]", re.DOTALL)
# where str.format fills in a value, in a text whose braces are escaped: {}, {name}, {name!r}, {name:.0f}
FIELD = re.compile(r"{{\w*(![rsa])?(:[\w.,%]+)?}}")
# what programmers read, in English: the documentation of the API and of the settings, and the log
CALLS_FOR_PROGRAMMERS = {"Field", "Query", "Path", "Header", "Form", "Body", "log"}
# what typer says of a wrong command line; it has no list of its sentences
OF_TYPER = {
    "COMMAND [ARGS]...",
    "Usage: ",
    "[OPTIONS]",
    "Choose from:",
    "Directory {} does not exist.",
    "Directory {} is a file.",
    "File {} does not exist.",
    "File {} is a directory.",
    "Missing argument {}.",
    "Missing command.",
    "Missing option {}.",
    "No such command {}.",
    "No such option: {} Did you mean {}?",
    "Option {} does not take a value.",
    "Option {} requires an argument.",
    "Path {} does not exist.",
    "{} is not a valid {}.",
    "{} is not in the range {}.",
}
FILES_FOR_PROGRAMMERS = ("app/api/documents/", "app/api/http/description.py", "app/api/http/answers.py")


def sentences() -> dict[str, str]:
    """The format string of each sentence in the source code, and where it stands, like "ml/faults.py:12"."""
    found: dict[str, str] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith(FILES_FOR_PROGRAMMERS):
            continue
        for node in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            text = _format(node)
            if SENTENCE.fullmatch(text):
                found.setdefault(text, f"{name}:{node.lineno}")
    return found


def stages() -> set[str]:
    """The stages and kinds of jobs, which progress names."""
    found = {"starting", *KINDS}
    for path in (path for package in ("ml", "worker") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Progress"), args=[ast.Constant(value=stage), *_]):
                    found.add(str(stage))
                case ast.Call(func=ast.Name(id="WatchedRows"), args=[_, ast.Constant(value=stage), *_]):
                    found.add(str(stage))
    return found


def of_pydantic() -> set[str]:
    """The format strings of what pydantic says about a value."""
    messages = (error["message_template_python"] for error in list_all_errors())
    return {re.sub(r"{\w+}", "{}", message) for message in messages}


def of_help() -> set[str]:
    """The paragraphs of the help of all commands and options."""
    command = with_common_options(typer.main.get_command(app))
    return {paragraph for part in parts(command) for paragraph in paragraphs(part.help)}


def columns() -> set[str]:
    """The columns of the tables that commands show."""
    found: set[str] = set()
    for path in (ROOT / "app/cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Assign(targets=[ast.Name(id="columns")], value=ast.Tuple(elts=texts)):
                    found |= {str(text.value) for text in texts if isinstance(text, ast.Constant)}
    return found


def _texts(node: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """The literal texts in `node` that are neither docstrings nor for programmers."""
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name))) if name in CALLS_FOR_PROGRAMMERS:
            return
        case ast.JoinedStr() | ast.Constant(value=str()):
            yield node
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _texts(child)


def _format(node: ast.Constant | ast.JoinedStr) -> str:
    """The text with {} for each value."""
    if isinstance(node, ast.Constant):
        return FIELD.sub("{}", _escaped(str(node.value)))
    return "".join(_escaped(str(part.value)) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
