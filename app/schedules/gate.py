"""The gate before a promotion: compares the metrics of a new version with conditions."""

from collections.abc import Iterator
from typing import Literal

from app.requests.schedules import PromoteRequest
from app.results import Check
from ml.evaluation.metrics import Metrics


def checks(request: PromoteRequest, candidate: Metrics, champion: Metrics | None) -> Iterator[Check]:
    """The result of every condition of `request`. Without a champion there is nothing to compare, only the floors."""
    if champion is not None:
        yield _compared("gain", request.metric, candidate, champion, request.min_gain)
        for metric, least in request.guards.items():
            yield _compared("guard", metric, candidate, champion, least)
    for metric, least in request.floors.items():
        value = getattr(candidate, metric)
        passed = value is not None and value >= least
        yield Check(
            rule="floor", metric=metric, candidate=value, champion=None, value=value, least=least, passed=passed
        )


def reason(found: tuple[Check, ...], champion: int | None) -> str:
    """The reason of the verdict, in words. champion: the version of the champion, if there is one."""
    failed = [_failure(check) for check in found if not check.passed]
    if failed:
        return "; ".join(failed)
    if champion is None:
        return "there was no version to compare with, and all floors hold"
    gain = next(check for check in found if check.rule == "gain")
    return f"{gain.metric} {_text(gain.candidate)} against {_text(gain.champion)} of version {champion}"


def _failure(check: Check) -> str:
    condition = f"{check.rule} of {check.metric}"
    if check.value is not None:
        return f"{condition}: {_text(check.value)} < {check.least:g}"
    compared = "" if check.rule == "floor" else f" ({_text(check.candidate)} against {_text(check.champion)})"
    return f"{condition}: undefined{compared}, which never passes"


def _compared(
    rule: Literal["gain", "guard"], metric: str, candidate: Metrics, champion: Metrics, least: float
) -> Check:
    new, old = getattr(candidate, metric), getattr(champion, metric)
    # rounded, so that a rounding error of the subtraction does not decide: 0.75 - 0.745 is a gain of 0.005
    value = None if new is None or old is None else round(new - old, 12)
    passed = value is not None and value >= least
    return Check(rule=rule, metric=metric, candidate=new, champion=old, value=value, least=least, passed=passed)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
