"""The estimates of a table of counts as a document, and as lines of a table."""

from collections.abc import Sequence
from typing import Any

from ml.estimation.count_table import CountTable
from ml.estimation.stratified import Stratified
from ml.estimation.values import Estimate

FORMULAS = "Olofsson et al. 2014, doi 10.1016/j.rse.2014.02.015, eq. 1 to 11"


def as_document(table: CountTable, found: Stratified, unit: str | None) -> dict[str, Any]:
    """The estimates as JSON. unit: That of the areas, or None if it is not known."""
    return {
        "method": "stratified",
        "formulas": FORMULAS,
        "unit": unit,
        "total": float(table.mapped.sum()),
        "classes": [
            {"class": name, "mapped": float(mapped), "points": int(points), **_document(area, "area")}
            for name, mapped, points, area in zip(
                table.names, table.mapped, table.counts.sum(axis=1), found.areas, strict=True
            )
        ],
        "overall": _document(found.overall),
        "users": [{"class": name, **_document(one)} for name, one in zip(table.names, found.users, strict=True)],
        "producers": [
            {"class": name, **_document(one)} for name, one in zip(table.names, found.producers, strict=True)
        ],
        "counts": table.counts.tolist(),
        "shares": None if found.shares is None else found.shares.tolist(),
        "notes": [note.model_dump() for note in (*table.notes, *found.notes)],
    }


def area_lines(table: CountTable, found: Stratified) -> list[Sequence[str]]:
    """Lines of a table: class, points, mapped area, estimated area, its standard error, and its interval."""
    counts = table.counts.sum(axis=1)
    return [
        (name, f"{points}", f"{mapped:,.2f}", *_shown(area, ",.2f"))
        for name, points, mapped, area in zip(table.names, counts, table.mapped, found.areas, strict=True)
    ]


def accuracy_lines(table: CountTable, found: Stratified) -> list[Sequence[str]]:
    """Lines of a table: accuracy, its value, its standard error, and its interval."""
    by_class = [
        (f"{whose} accuracy of {name}", one)
        for whose, estimates in (("user's", found.users), ("producer's", found.producers))
        for name, one in zip(table.names, estimates, strict=True)
    ]
    return [(name, *_shown(one, ".4f")) for name, one in [("overall accuracy", found.overall), *by_class]]


def _document(found: Estimate, name: str = "value") -> dict[str, Any]:
    return {name: found.value, "se": found.se, "ci95": found.ci95} | ({"why": found.why} if found.why else {})


def _shown(found: Estimate, form: str) -> Sequence[str]:
    low, high = found.ci95 or (None, None)
    return ["-" if number is None else format(number, form) for number in (found.value, found.se, low, high)]
