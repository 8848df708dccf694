"""Routes of /v1/samples/{id}/estimates and /change: what the answers to samples tell."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON
from app.api.http.answers import BINARY, TEXT, content
from app.api.http.csv_tables import Spoken
from app.api.http.deps import Id, Reading, Wired
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed
from app.api.http.problems import problems
from app.api.http.queries import AreaFormat, OneLabeller
from app.api.maps import area_tables
from app.api.maps.zone_work import sample_measured
from app.core.names import ID
from app.language.choice import Language
from app.mapping import changes, estimates, sampled_maps, samples
from app.services import Services
from app.tables import Sample
from ml.estimation.zones import MIN_POINTS
from ml.sampling.design import MOST_POINTS

router = APIRouter(prefix="/v1/samples", tags=["samples"], route_class=JsonRoute)
ZonesId = Annotated[
    str | None, Query(pattern=f"^{ID.pattern}$", description="Id of a zone set, for whose zones there are rows, too.")
]
LeastPoints = Annotated[
    int, Query(ge=2, le=MOST_POINTS, description="Number of points that a zone needs for an estimate of its own.")
]
FEATURES = {"schema": {"$ref": "#/components/schemas/EstimateFeatures"}}
ESTIMATES = content({"text/csv": TEXT, area_tables.XLSX: BINARY, GEOJSON: FEATURES})


@router.get(
    "/{id}/estimates",
    response_model=documents.Estimates,
    responses=ESTIMATES | problems(404, 409, 503),
)
async def get_estimates(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    language: Spoken,
    f: AreaFormat = "json",
    labeller: OneLabeller = None,
    zones: ZonesId = None,
    min_n: LeastPoints = MIN_POINTS,
) -> documents.Estimates | Response:
    """Hectares of each class with a standard error and a 95 % interval, accuracies, and the error matrix.

    With `zones` there are also rows for each zone. What a large map has in zones is measured in a while: until then the
    answer is 503 with Retry-After.
    """
    if zones is not None:
        await sample_measured(request, services, places, id_, zones)
    return await places.run("areas", _estimates, services, id_, language, f, labeller, zones, min_n)


def _estimates(
    services: Services, id_: str, language: Language, f: str, labeller: str | None, zones: str | None, min_n: int
) -> documents.Estimates | Response:
    with services.database.read() as session:
        sample = samples.get(session, id_)
        made = estimates.of_sample(session, sample, labeller, zones, min_n)
    found = documents.Estimates.of(id_, labeller, made, zones)
    if f in ("csv", "xlsx"):
        return area_tables.answer(_lines(found), f, f"{id_}-estimates", language, sheet="estimates")
    if f == "geojson":
        placed = [item for item in found.items if zones is None or item.zone is not None]
        return area_tables.geojson_answer(services, placed, zones, partial(_footprint, sample=sample))
    return found


@router.get(
    "/{id}/change",
    response_model=documents.Changes,
    responses=content({"text/csv": TEXT, area_tables.XLSX: BINARY}) | problems(404, 409),
)
def get_change(
    session: Reading,
    id_: Id,
    language: Spoken,
    earlier: Annotated[str, Query(pattern=f"^{ID.pattern}$", description="Id of the sample of the earlier season.")],
    f: Annotated[Literal["json", "csv", "xlsx"], Query(description="csv has a byte order mark, for Excel.")] = "json",
    labeller: OneLabeller = None,
    earlier_labeller: OneLabeller = None,
) -> documents.Changes | Response:
    """By how many hectares each class has changed since an earlier sample of the same ground, with a 95 % interval.

    Of one sample that was labelled for two seasons, `earlier` is its own id, and the labellers say which season is
    which.
    """
    sample = samples.get(session, id_)
    found = changes.between(session, sample, earlier, labeller, earlier_labeller)
    document = documents.Changes.of(earlier, id_, found)
    if f == "json":
        return document
    lines = [_line(item) | {"earlier": earlier, "later": id_} for item in document.items]
    return area_tables.answer(lines, f, f"{id_}-change", language, sheet="change")


def _footprint(session: Session, sample: Sample) -> Mapping[str, object]:
    return sampled_maps.footprint(session, sampled_maps.get(session, sampled_maps.id_of(sample)))


def _lines(found: documents.Estimates) -> list[area_tables.Line]:
    """A line for each row. Hectares and mu have four decimals, which is a square metre; the cv has six."""
    return [_line(item) | {"sample": found.sample} for item in found.items]


def _line(item: BaseModel) -> area_tables.Line:
    return {name: area_tables.rounded(name, value) for name, value in area_tables.cells(item).items()}
