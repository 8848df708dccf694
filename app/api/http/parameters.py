"""Faults of parameters: all faults of a request are told together, and each has its place in one form.

The place is `query:NAME`, `header:NAME` or `path:NAME`; a field of a form, like a key of a JSON body, is `/NAME`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from app.core.errors import Invalid, Problem
from app.core.names import NAME
from ml.faults import Fault, InputRefused
from ml.text import is_one_line, is_storable

SEVERAL = "invalid-request"  # code of a problem with faults of several kinds
_REPLACED = "\ufffd"  # stands for bytes that are not UTF-8
MOST_CHARACTERS = 200  # of a key, in a pointer
LIMITS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "min_length": "at least {} of them",
    "max_length": "at most {} of them",
    "multiple_of": "a multiple of {}",
    "expected": "{}",
    "pattern": "text of the form {}",
}
A_NAME = "1 to 80 of the characters A-Z a-z 0-9 . _ -, the first of them no dot"
Value = TypeVar("Value")


def checked(check: Callable[[Any], object]) -> AfterValidator:
    """A validator that keeps a value, and gives pydantic the faults for which `check` refuses it.

    check: Raises a `Problem` or `InputRefused`, whose pointers begin at the value.
    """

    def keep(value: Value) -> Value:
        try:
            if value is not None:
                check(value)
        except (Problem, InputRefused) as refused:
            faults = refused.faults
            raise PydanticCustomError(faults[0].code, "The value is refused.", {"faults": faults}) from refused
        return value

    return AfterValidator(keep)


def faults_of(items: Iterable[dict[str, Any]]) -> Iterator[Fault]:
    """The faults in errors of pydantic, without the values: these may be secrets, or numbers that JSON cannot hold."""
    for item in items:
        pointer = _pointer(item["loc"])
        for fault in (item.get("ctx") or {}).get("faults") or (_fault(item),):
            yield fault.at(pointer + fault.pointer)


def _pointer(loc: tuple[Any, ...]) -> str:
    where, *names = loc
    path = [str(name)[:MOST_CHARACTERS] for name in names]  # the name of an unknown key may have megabytes
    if where == "body":
        return "".join(f"/{part}" for part in path)
    text = "/".join(path)
    return f"{where}:{text.lower() if where == 'header' else text}"


def _fault(item: dict[str, Any]) -> Fault:
    if item["loc"] == ("body",):
        detail = "The request has no body." if item["type"] == "missing" else "The body is no JSON object."
        return Fault(item["type"], detail, "Send a JSON object; /docs shows one for each address.")
    message = item["msg"].removeprefix("Value error, ").replace("Tuple should", "List should")
    if item["type"] == "extra_forbidden":
        message = "This key is not known."
    return Fault(item["type"], message, _hint(item))


def _hint(item: dict[str, Any]) -> str:
    limits = [_limit(key, value) for key, value in (item.get("ctx") or {}).items() if key in LIMITS]
    if item["type"] == "extra_forbidden":
        return "Check its spelling, or leave it out; /docs lists the keys."
    if item["type"] == "missing":
        return "Give it a value; /docs says what it is."
    if limits:
        return f"Allowed: {', '.join(limits)}."
    return "See /docs for what is allowed here."


def _limit(key: str, value: object) -> str:
    """What pydantic calls `ge` and so on, in words."""
    return A_NAME if value == f"^{NAME.pattern}$" else LIMITS[key].format(value)


def placed(request: Request, fault: Fault) -> Fault:
    """The fault with its place in this request.

    What checks a value does not know how it came: it calls the parameter `class_field` of an upload `/class_field`.
    That is right for a form; here it becomes `query:class_field` where the route takes the parameter from the query.
    """
    name, slash, rest = fault.pointer.removeprefix("/").partition("/")
    for where, names in _names(request.scope.get("route")).items():
        if fault.pointer.startswith("/") and name in names:
            return fault.at(f"{where}:{name}{slash}{rest}")
    return fault


def _names(route: object) -> dict[str, set[str]]:
    """The names of a route's parameters, by the part of the request that holds them."""
    if not isinstance(route, APIRoute):
        return {}
    return {"query": set(query_names(route)), "path": set(route.param_convertors)}


def query_names(route: APIRoute) -> list[str]:
    """The names of a route's query parameters, sorted."""
    fields = _query_fields(route.dependant)
    models = (getattr(each.field_info.annotation, "model_fields", {each.alias: each.field_info}) for each in fields)
    return sorted(info.alias or name for model in models for name, info in model.items())


def _query_fields(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from _query_fields(each)


def check_query(request: Request) -> None:
    """Raise `Invalid` for what is wrong with the query beside the values of single parameters, with these values too.

    If only values are wrong, FastAPI refuses them later, together with those of the headers and of the body.
    """
    route = request.scope["route"]
    if faults := [*_unreadable(request), *_repeated(request), *_unknown(request, query_names(route))]:
        refuse_query(request, faults)


def refuse_query(request: Request, faults: Sequence[Fault] = ()) -> None:
    """Raise an error for these faults of the query and for those of single values, if there are any."""
    fields = list(_query_fields(request.scope["route"].dependant))
    _, items = request_params_to_args(fields, request.query_params)
    refuse(faults, [item for item in items if item["type"] != "extra_forbidden"])  # told as unknown


def refuse(faults: Sequence[Fault], items: Sequence[dict[str, Any]]) -> None:
    """Raise an error for what is wrong with parameters, if anything is.

    items: Errors of pydantic. They are left out where `faults` has one for the same parameter.
    """
    if not faults and items:
        raise RequestValidationError(items)
    pointers = {fault.pointer for fault in faults}
    found = [*faults, *(fault for fault in faults_of(items) if fault.pointer not in pointers)]
    codes = {fault.code for fault in found}
    if found:
        raise Invalid(codes.pop().replace("_", "-") if len(codes) == 1 else SEVERAL, *found)


def code_of(items: Sequence[dict[str, Any]]) -> str:
    """The code of a problem with these errors of pydantic: that of `checked` if there is no other."""
    (first, *others) = items
    own = not others and "faults" in (first.get("ctx") or {})
    return str(first["type"]).replace("_", "-") if own else SEVERAL


def _unreadable(request: Request) -> Iterator[Fault]:
    for name, value in request.query_params.multi_items():
        if not is_storable(value) or not is_one_line(name):
            yield Fault("invalid_text", "The text holds control characters.", "Remove them.", _at(name))
        elif _REPLACED in value and quote(_REPLACED).encode() not in request.scope["query_string"].upper():
            yield Fault(
                "invalid_text", "The text is not in UTF-8.", "Encode it in UTF-8, and then by percents.", _at(name)
            )


def _repeated(request: Request) -> Iterator[Fault]:
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if times > 1:
            yield Fault("repeated_parameter", "The parameter is given several times.", "Give it once.", _at(name))


def _unknown(request: Request, known: list[str]) -> Iterator[Fault]:
    hint = f"Known: {', '.join(known)}." if known else "Leave it out: there are no parameters here."
    for name in request.query_params:
        if name not in known:
            yield Fault("unknown_parameter", f"There is no parameter {name[:80]!r} here.", hint, _at(name))


def _at(name: str) -> str:
    return f"query:{name[:MOST_CHARACTERS]}" if is_one_line(name) else "query:"
