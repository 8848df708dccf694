"""The documents of surveys: many scenes as one map."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, Omitted, Page, Software, Title, link
from app.api.documents.jobs import Job, Status
from app.api.documents.stac import MEDIA_TYPES, Geometry
from app.mapping.survey_areas import ChangeRow as MeasuredChange
from app.mapping.survey_areas import EstimatedChange
from app.mapping.surveys import Member
from ml.config import PredictConfig
from ml.surveys.order import Rule

TIFF = MEDIA_TYPES["classes.tif"]
TYPES = {
    "mosaic.tif": TIFF,
    "mosaic.qml": MEDIA_TYPES["classes.qml"],
    "sources.tif": TIFF,
    "web.tif": MEDIA_TYPES["web.tif"],
}


class SurveyModel(Document):
    """The model version that maps all scenes."""

    name: str
    version: int


class SurveyMosaic(Document):
    """The mosaic of a survey."""

    crs: str = Field(description="Code of the CRS, or its name if it has no code.")
    rows: int
    cols: int
    transform: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c, d, e, f of x = a col + b row + c, y = d col + e row + f."
    )
    observed_ha: float = Field(description="Hectares that have a class, each counted once.")
    unobserved_ha: float = Field(description="Hectares that lie in some scene, and that none has observed.")


class Survey(Document):
    """Many scenes mapped by one model version, as one mosaic. `mosaic` and `software` are null until it is made."""

    id: str = Field(description="Id of the survey, which is also the id of its job.")
    title: Title
    created: datetime
    model: SurveyModel
    scenes: int = Field(description="Number of scenes.")
    overlap: Rule = Field(description="Which scene a pixel comes from.")
    zones: str | None = Field(description="Id of the zone set that was asked for.")
    crs: str | None = Field(description="CRS that was asked for; null for that of most scenes.")
    resolution_m: float | None = Field(description="Side of a pixel that was asked for, in metres.")
    config: PredictConfig
    mosaic: SurveyMosaic | None
    software: Software | None
    links: tuple[Link, ...]
    job: Job

    @classmethod
    def of(cls, row: tables.Survey, scenes: int, work: tables.Job) -> "Survey":
        """The document of the survey in `row`. scenes: their number. work: its job."""
        made = row.mosaic
        return cls(
            **row.options.model_dump(exclude={"config"}),
            id=row.id,
            title=row.title,
            created=row.created,
            model=SurveyModel(name=row.model, version=row.version),
            scenes=scenes,
            config=row.options.config,
            mosaic=made and SurveyMosaic(**{name: getattr(made, name) for name in SurveyMosaic.model_fields}),
            software=made and made.software,
            links=_links(row),
            job=Job.of(work),
        )


class Surveys(Page[Survey]):
    """A page of surveys, newest first."""


def _links(row: tables.Survey) -> tuple[Link, ...]:
    here = f"/v1/surveys/{row.id}"
    index = (link(here, "self"), link(f"{here}/scenes", "item"), link(f"{here}/areas", "related"))
    tiles = (link(f"{here}/tilejson.json", "tilejson"),) if "web.tif" in (row.products or ()) else ()
    return (
        *index,
        *tiles,
        *(link(f"{here}/{name}", "enclosure", TYPES[name]) for name in TYPES if name in (row.products or ())),
    )


class SurveyScene(Document):
    """One scene of a survey. `pixels` and `area_ha` are null until the mosaic is made."""

    number: int = Field(description="Its value in sources.tif.")
    scene: str
    prediction: str = Field(description="Id of the prediction that maps it.")
    status: Status = Field(description="Of that prediction.")
    acquired: datetime | None
    observed_share: float | None = Field(description="Share of the scene, 0 to 1, that was observed.")
    pixels: int | None = Field(description="Pixels of the mosaic that come from it.")
    area_ha: float | None = Field(description="Hectares of the mosaic that come from it.")

    @classmethod
    def of(cls, member: Member) -> "SurveyScene":
        """The entry of one scene."""
        areas, row = member.prediction.areas, member.row
        whole_ha = areas.observed_ha + areas.unobserved_ha if areas else 0.0
        return cls(
            number=row.number,
            scene=member.scene.id,
            prediction=member.prediction.id,
            status=member.status,
            acquired=member.scene.acquired,
            observed_share=areas.observed_ha / whole_ha if areas and whole_ha else None,
            pixels=row.pixels,
            area_ha=row.area_ha,
        )


class SurveyScenes(Document):
    """The scenes of a survey, in its order."""

    items: tuple[SurveyScene, ...]


class SurveyFeature(Document):
    """One scene of a survey as a GeoJSON feature, with its footprint."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: SurveyScene


class SurveyFeatures(Document):
    """The scenes of a survey as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[SurveyFeature, ...]

    @classmethod
    def of(cls, members: Iterable[Member]) -> "SurveyFeatures":
        """The features of these scenes."""
        found = (SurveyFeature(geometry=each.scene.info.footprint, properties=SurveyScene.of(each)) for each in members)
        return cls(features=tuple(found))


class ChangeRow(Document):
    """The change of one class between two surveys, in the whole ground of both or in a zone.

    Hectares of ground that only one of them, or neither, has observed are told beside it and in none of the others.
    """

    zone: str | None = Field(None, description="Code of the zone; null for the whole ground.")
    name: str | None = Field(None, description="Name of the zone; null if it has none.")
    class_name: str = Field(alias="class")
    gain_ha: float | None = Field(description="Hectares of the class later and not earlier.")
    loss_ha: float | None = Field(description="Hectares of the class earlier and not later.")
    net_ha: float | None = Field(description="`gain_ha` less `loss_ha`.")
    earlier_ha: float | None = Field(description="Hectares of the class earlier, of the ground that both observed.")
    later_ha: float | None = Field(description="Hectares of the class later, of the ground that both observed.")
    observed_ha: float = Field(description="Hectares that both have observed.")
    only_earlier_ha: float = Field(description="Hectares that only the earlier survey has observed.")
    only_later_ha: float = Field(description="Hectares that only the later survey has observed.")
    unobserved_ha: float | None = Field(description="Hectares of the zone that neither has observed; null for a whole.")
    net_ci95_ha: tuple[float, float] | None = Field(
        description="95 % interval of `net_estimated_ha`; null without samples, for the reason in `why`."
    )
    why: str | None = Field(description="Why other fields of the row are null.")
    gain_estimated_ha: float | None = Field(
        None, description="Gain, estimated from the points of one sample that were labelled for both seasons."
    )
    gain_ci95_ha: tuple[float, float] | None = Field(None, description="95 % interval of `gain_estimated_ha`.")
    loss_estimated_ha: float | None = Field(None, description="Loss, estimated as `gain_estimated_ha`.")
    loss_ci95_ha: tuple[float, float] | None = Field(None, description="95 % interval of `loss_estimated_ha`.")
    net_estimated_ha: float | None = Field(
        None, description="Net change, estimated from answers for both seasons; what can be published."
    )
    net_se_ha: float | None = Field(None, description="Standard error of `net_estimated_ha`.")
    earlier_n: int | None = Field(None, description="Number of points with an answer for the earlier season.")
    later_n: int | None = Field(None, description="Number of points with an answer for the later season.")
    method: str | None = Field(None, description="Name of the estimator: independent, or same points.")
    parent: Omitted[str] = Field(None, description="Code of what the zone is a part of; left out if it is unknown.")
    overlap_ha: Omitted[float] = Field(
        None, description="Hectares of the zone that lie in other zones too; left out for the whole ground."
    )

    @classmethod
    def of(cls, row: MeasuredChange) -> "ChangeRow":
        """The row for the change of one class."""
        change, zone = row.change, row.zone
        of_class = {
            name: getattr(change, name) if row.known else None
            for name in ("gain_ha", "loss_ha", "net_ha", "earlier_ha", "later_ha")
        }
        return cls(
            **of_class,
            zone=zone and zone.code,
            name=zone and zone.name,
            class_name=row.class_name,
            observed_ha=change.observed_ha,
            only_earlier_ha=change.only_earlier_ha,
            only_later_ha=change.only_later_ha,
            unobserved_ha=row.unobserved_ha,
            why=row.why,
            **_estimates(row.estimated),
            parent=zone and zone.parent,
            overlap_ha=zone and zone.overlap_ha,
        )


def _estimates(found: EstimatedChange | None) -> dict[str, Any]:
    if found is None:
        return {"net_ci95_ha": None}
    change = found.change
    return {
        "gain_estimated_ha": change.gain.value,
        "gain_ci95_ha": change.gain.ci95,
        "loss_estimated_ha": change.loss.value,
        "loss_ci95_ha": change.loss.ci95,
        "net_estimated_ha": change.net.value,
        "net_se_ha": change.net.se,
        "net_ci95_ha": change.net.ci95,
        "earlier_n": found.n[0],
        "later_n": found.n[1],
        "method": found.method,
    }


class ChangeTable(Document):
    """How a survey differs from an earlier one. Classes have rows as those of `AreaTable`.

    `earlier_sample` and `later_sample` are the samples from which intervals come, null if there are none.
    """

    survey: str
    earlier: str
    earlier_sample: str | None = None
    later_sample: str | None = None
    items: tuple[ChangeRow, ...]


class ChangeFeature(Document):
    """The change of one class as a GeoJSON feature, whose geometry is the zone, or the footprint of the survey."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: ChangeRow


class ChangeFeatures(Document):
    """How two surveys differ, as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[ChangeFeature, ...]
