"""The areas of a prediction, in hectares."""

from dataclasses import asdict
from typing import Literal

from pydantic import Field

from app.api.documents.base import Document, Omitted
from app.api.documents.stac import Geometry
from app.mapping.predictions import Areas
from ml.scenes.applicability import Level


class AreaRow(Document):
    """The areas of one class in a scene, or in a zone. `zone` and `name` are null in a row for the whole scene."""

    zone: str | None = Field(None, description="Code of the zone.")
    name: str | None = Field(None, description="Name of the zone; null if it has none.")
    class_name: str = Field(alias="class")
    observed_ha: float = Field(description="Hectares of the scene, or of the zone, whose pixels are valid.")
    unobserved_ha: float = Field(description="Hectares of the scene without valid pixels; all others of the zone.")
    mapped_ha: float | None = Field(
        description="Hectares of the class, as counted on the map; null if nothing of the zone was observed."
    )
    mapped_mu: float | None = Field(description="`mapped_ha` in mu; a hectare has 15 mu.")
    adjusted_ha: float | None = Field(description="The same as `indicative_ha`: its old name.")
    ci95_ha: tuple[float, float] | None = Field(description="The same as `indicative_ci95_ha`: its old name.")
    why: str | None = Field(
        None, description="Why other fields of the row are null, or else what the interval does not know."
    )
    applicability: Level | None = Field(
        None, description="Whether the scene is like the training of the model; null if that is not known."
    )
    outside_share: float | None = Field(
        None,
        description="Share of the observed area, 0 to 1, with values outside those of the training; null for a zone.",
    )
    outside_ha: float | None = Field(
        None, description="Hectares with values outside those of the training; null for a zone."
    )
    indicative_ha: float | None = Field(
        description="Hectares of the class, estimated from the map and the errors of the model on its test split; "
        "null if they cannot be estimated, for the reason in `why`."
    )
    indicative_ci95_ha: tuple[float, float] | None = Field(
        description="95 % prediction interval of `indicative_ha`, for a scene that is like the test scenes: low, high."
    )
    parent: Omitted[str] = Field(None, description="Code of what the zone is a part of; left out if it is unknown.")
    overlap_ha: Omitted[float] = Field(
        None,
        description="Hectares of the zone that lie in other zones too, so that a sum counts them twice; left out for a "
        "whole scene.",
    )

    @classmethod
    def of(cls, areas: Areas) -> "AreaRow":
        """The row for the areas of one class."""
        return cls(**asdict(areas), indicative_ha=areas.adjusted_ha, indicative_ci95_ha=areas.ci95_ha)


class AreaTable(Document):
    """The areas of a prediction. Of two classes only the second has a row; of more classes each has one.

    With zones, each zone has these rows, in the order of the file of zones.
    """

    items: tuple[AreaRow, ...]


class AreaFeature(Document):
    """The areas of one class as a GeoJSON feature, whose geometry is the footprint of the scene, or the zone."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: AreaRow


class AreaFeatures(Document):
    """The areas of a prediction as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[AreaFeature, ...]
