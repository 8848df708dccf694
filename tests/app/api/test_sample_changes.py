"""The change of areas between two seasons, by two samples or by two labellings of one."""

import math

import httpx
import numpy as np
import pytest

from app.services import Services
from app.tables import Sample
from tests.app.api.conftest import Perform
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_samples import NAMES, answered, draw, filled, table
from tests.app.api.test_samples import do as do
from tests.app.api.test_samples import http as http
from tests.app.api.test_samples import prediction as prediction
from tests.app.api.test_samples import services as services

CLEARED = 6  # in the later season there is no cane in the first rows


def later_season(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The file of points, filled in as the ground is one season later."""
    return [row | {"class": NAMES[0]} if int(row["row"]) < CLEARED else row for row in rows]


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


def test_the_change_between_two_samples_has_the_variance_of_both(
    http: httpx.Client, do: Perform, prediction: str
) -> None:
    earlier, later = draw(http, do, prediction, seed=1), draw(http, do, prediction, seed=2)
    answered(http, earlier, filled(http, earlier))
    answered(http, later, later_season(filled(http, later)))
    made = http.get(f"{later}/change", params={"earlier": id_of(earlier)}).json()
    before, after = (http.get(f"{path}/estimates").json()["items"] for path in (earlier, later))
    assert [row["class"] for row in made["items"]] == list(NAMES)
    for row, one, other in zip(made["items"], before, after, strict=True):
        assert row["change_ha"] == pytest.approx(other["estimated_ha"] - one["estimated_ha"])
        assert row["se_ha"] == pytest.approx(math.hypot(one["se_ha"], other["se_ha"]))
        below = math.hypot(other["estimated_ha"] - other["ci95_ha"][0], one["ci95_ha"][1] - one["estimated_ha"])
        above = math.hypot(other["ci95_ha"][1] - other["estimated_ha"], one["estimated_ha"] - one["ci95_ha"][0])
        assert row["ci95_ha"] == pytest.approx([row["change_ha"] - below, row["change_ha"] + above])
        assert (row["earlier_n"], row["later_n"], row["method"]) == (one["n"], other["n"], "independent")
    assert sum(row["change_ha"] for row in made["items"]) == pytest.approx(0, abs=1e-9)
    assert set(made["methods"]) == {"independent"}


def test_the_same_points_tell_a_change_far_better(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction)
    first = filled(http, path)
    answered(http, path, first, "2017")
    answered(http, path, later_season(first)[:-10], "2018")
    query = {"earlier": id_of(path), "earlier_labeller": "2017", "labeller": "2018"}
    cane = http.get(f"{path}/change", params=query).json()["items"][1]
    points = table(http.get(f"{path}/points?f=csv&map_class=true"))[:-10]
    lost = np.array(
        [
            1.0 if int(row["row"]) < CLEARED and each["class"] == NAMES[1] else 0.0
            for row, each in zip(points, first, strict=False)
        ]
    )
    strata = {stratum["key"]: stratum for stratum in http.get(path).json()["strata"]}
    change = variance = 0.0
    for key, stratum in strata.items():
        here = lost[[row["stratum"] == key for row in points]]
        left = 1 - len(here) / stratum["pixels"]
        change -= stratum["area_ha"] * here.mean()
        variance += stratum["area_ha"] ** 2 * left * here.var(ddof=1) / len(here)
    assert (cane["method"], cane["change_ha"]) == ("same points", pytest.approx(change))
    assert cane["se_ha"] == pytest.approx(math.sqrt(variance))
    assert cane["se_ha"] < math.hypot(cane["earlier_se_ha"], cane["later_se_ha"])
    assert cane["later_ha"] - cane["earlier_ha"] == pytest.approx(change), "both are of the points that tell the change"
    assert (cane["earlier_n"], cane["later_n"]) == (len(points), len(points))
    rows = table(http.get(f"{path}/change", params={**query, "f": "csv"}))
    assert float(rows[1]["change_ha"]) == pytest.approx(change, abs=1e-4)
    chinese = table(http.get(f"{path}/change", params={**query, "f": "csv", "lang": "zh"}))
    assert not [name for name in chinese[0] if name.isascii() and "_" in name]
    assert http.get(f"{path}/change", params={**query, "f": "xlsx"}).content.startswith(b"PK")


def test_what_is_no_change_is_refused(http: httpx.Client, do: Perform, prediction: str, services: Services) -> None:
    path, other = draw(http, do, prediction), draw(http, do, prediction, seed=5)
    for each in (path, other):
        answered(http, each, filled(http, each))
    unknown = assert_problem(http.get(f"{path}/change?earlier=smp_0"), 422)
    assert (unknown["type"], unknown["errors"][0]["pointer"]) == ("unknown-sample", "query:earlier")
    itself = assert_problem(http.get(f"{path}/change?earlier={id_of(path)}"), 422)
    assert [fault["code"] for fault in itself["errors"]] == ["same_labels"]
    assert_problem(http.get(f"{path}/change"), 422)
    with services.database.write() as session:
        row = session.get_one(Sample, id_of(other))
        assert row.drawn is not None
        renamed = tuple(item.model_copy(update={"name": f"{item.name} 2"}) for item in row.drawn.frame.classes)
        changed = {"area_ha": 1.02 * row.drawn.frame.area_ha, "classes": renamed}
        row.drawn = row.drawn.model_copy(update={"frame": row.drawn.frame.model_copy(update=changed)})
    refused = assert_problem(http.get(f"{path}/change?earlier={id_of(other)}"), 422)
    assert [fault["code"] for fault in refused["errors"]] == ["other_classes", "other_ground"]
