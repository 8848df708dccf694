"""Map sheets of surveys, and what samples tell on sheets."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.mapping import predictions, sheet_areas, survey_areas, surveys
from app.mapping.sheet_areas import SheetAreas
from app.services import Services
from app.tables import Prediction
from ml.figures import Lang
from tests.app.api.conftest import Perform, put
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_samples import draw
from tests.app.api.test_survey_samples import answer, replaced, with_errors
from tests.app.api.test_surveys import ask, finish
from tests.app.api.test_surveys import fields as fields
from tests.app.api.test_surveys import settings as settings
from tests.app.api.test_zones import FIELDS, layer, px

COUNTIES = {"西县": (0, 50), "东县": (50, 164), "远县": (900, 910)}


@pytest.fixture
def survey(http: httpx.Client, do: Perform, tmp_path: Path, fields: None) -> str:
    """The id of a survey, with a zone set, of which one county is far away."""
    zones = [(px(a, 0, b, 64), {"code": f"c{a}", "name": name, "in": None}) for name, (a, b) in COUNTIES.items()]
    assert put(http, "/v1/zones/counties", layer(tmp_path / "z.geojson", zones), **FIELDS).status_code == 201
    return str(finish(http, do, ask(http, title="全县 2024").json()["id"])["id"])


def table_of(services: Services, survey: str, lang: Lang = "en") -> SheetAreas:
    with services.database.read() as session:
        row = surveys.get(session, survey)
        by_zone, whole = survey_areas.areas(session, row, "counties"), surveys.areas(session, row)
        return sheet_areas.of_map(session, survey, by_zone, whole, "counties", lang, "whole survey")


def pages(http: httpx.Client, path: str, *asked: dict[str, Any]) -> list[bytes]:
    found = [http.get(f"{path}/sheet.png", params=each) for each in asked]
    assert [page.status_code for page in found] == [200] * len(asked), found[-1].text
    return [page.content for page in found]


def test_the_sheet_of_a_survey_has_what_the_map_says_and_then_what_a_sample_tells(
    http: httpx.Client, do: Perform, services: Services, tmp_path: Path, survey: str
) -> None:
    path, by_zone = f"/v1/surveys/{survey}", {"zones": "counties"}
    plain, zoned, chinese = pages(http, path, {}, by_zone, by_zone | {"lang": "zh", "paper": "a3"})
    assert len({plain, zoned, chinese}) == 3
    found = table_of(services, survey)
    assert [line.zone for line in found.lines] == ["西县", "东县", "whole survey"]
    assert {line.ci95_ha for line in found.lines} == {None} and not found.sampled
    assert "1 zones of which nothing was observed" in found.notes[0] and "sample" in found.notes[-1]

    classes = replaced(services, http, survey, tmp_path, seed=1)
    sample = draw(http, do, survey, n=300)
    answer(http, sample, with_errors(classes, 2))
    assert pages(http, path, by_zone)[0] != zoned
    found = table_of(services, survey)
    rows = http.get(f"{sample}/estimates", params=by_zone).json()["items"]
    told = {(row["name"] or "whole survey"): row for row in rows if row["class"] == "sugarcane"}
    for line in found.lines:
        assert line.estimated_ha == told[line.zone]["estimated_ha"] is not None
        assert list(line.ci95_ha or ()) == told[line.zone]["ci95_ha"]
    assert found.sampled and found.facts == [("sample", f"{sample.rsplit('/', 1)[1]}, 300 points with answers")]

    answer(http, sample, classes, "somebody else")
    disputed = table_of(services, survey, "zh")
    assert not disputed.sampled and "无法给出估算" in disputed.notes[1] and "disagree" not in disputed.notes[1]
    assert pages(http, path, by_zone)[0].startswith(b"\x89PNG")
    printed = http.get(f"{path}/sheet.pdf")
    assert printed.headers["content-type"] == "application/pdf" and printed.content.startswith(b"%PDF-")


def test_the_sheet_of_a_prediction_has_the_estimates_of_its_sample(
    http: httpx.Client, do: Perform, services: Services
) -> None:
    id_ = http.get("/v1/predictions").json()["features"][0]["id"]

    def table() -> SheetAreas:
        with services.database.read() as session:
            whole = predictions.areas(session, session.get_one(Prediction, id_))
        with services.database.read() as session:
            return sheet_areas.of_map(session, id_, (), whole, None, "en", "whole scene")

    assert not table().sampled
    sample = draw(http, do, id_, n=100)
    points = http.get(f"{sample}/points?f=geojson").json()["features"]
    for number, each in enumerate(points):
        each["properties"]["class"] = ("other", "sugarcane")[number % 2]
    sent = http.put(f"{sample}/answers", json={"type": "FeatureCollection", "features": points})
    assert sent.status_code == 200, sent.text
    (line,) = table().lines
    wanted = http.get(f"{sample}/estimates").json()["items"][1]
    assert (line.estimated_ha, line.ci95_ha) == (wanted["estimated_ha"], tuple(wanted["ci95_ha"]))
    assert table().sampled and not [note for note in table().notes if "indicative" in note]


def test_a_sheet_of_a_survey_that_is_not_there_yet_is_a_problem(http: httpx.Client, fields: None) -> None:
    waiting = ask(http).json()["id"]
    assert assert_problem(http.get(f"/v1/surveys/{waiting}/sheet.pdf"), 404)["type"] == "result-not-ready"
    assert_problem(http.get(f"/v1/surveys/{waiting}/sheet.pdf?zones=none"), 422)
    assert_problem(http.get("/v1/surveys/srv_0/sheet.pdf"), 404)
