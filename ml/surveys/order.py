"""Which of several maps a pixel of a mosaic takes its class from, where they overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

Rule = Literal["newest", "best", "priority"]


@dataclass(frozen=True)
class SurveyMap:
    """The class map of one scene.

    name: Of the scene. path: Of the map, uint8, in which `MAP_NODATA` is ground that was not observed. acquired: When
    the scene was; None if nobody has said so. observed_share: Share of the scene, 0 to 1, that was observed.
    """

    name: str
    path: Path
    acquired: datetime | None
    observed_share: float


def by_rule(maps: Sequence[SurveyMap], rule: Rule) -> list[int]:
    """The numbers of maps in the order in which a pixel asks them: it takes its class from the first that has one.

    newest: By the time of acquisition, latest first; maps without one come last. best: By the observed share of the
    whole scene, largest first; then as by newest. priority: As they are given. Maps that are equal by the rule stay in
    the order in which they are given.
    """
    numbers = list(range(len(maps)))
    if rule == "priority":
        return numbers

    def age(number: int) -> float:
        acquired = maps[number].acquired
        return -acquired.timestamp() if acquired else float("inf")

    if rule == "newest":
        return sorted(numbers, key=age)
    return sorted(numbers, key=lambda number: (-maps[number].observed_share, age(number)))
