"""The areas of a prediction, in hectares."""

from dataclasses import asdict
from typing import Literal

from pydantic import Field

from app.api.documents.base import Document
from app.api.documents.stac import Geometry
from app.mapping.predictions import Areas
from ml.scenes.applicability import Level


class AreaRow(Document):
    """The areas of one class in a scene. `zone` and `name` are null, because the row is for the whole scene."""

    zone: str | None = None
    name: str | None = None
    class_name: str = Field(alias="class")
    observed_ha: float = Field(description="Hectares of the scene whose pixels are valid.")
    unobserved_ha: float = Field(description="Hectares of the scene without valid pixels.")
    mapped_ha: float = Field(description="Hectares of the class, as counted on the map.")
    mapped_mu: float = Field(description="`mapped_ha` in mu; a hectare has 15 mu.")
    adjusted_ha: float | None = Field(
        description="Hectares of the class, estimated from the map and the errors of the model on its test split; "
        "null if they cannot be estimated, for the reason in `why`."
    )
    ci95_ha: tuple[float, float] | None = Field(
        description="95 % prediction interval of `adjusted_ha`, for a scene that is like the test scenes: low, high."
    )
    why: str | None = Field(
        None, description="Why `adjusted_ha` and `ci95_ha` are null, or else what the interval does not know."
    )
    applicability: Level | None = Field(
        None, description="Whether the scene is like the training of the model; null if that is not known."
    )
    outside_share: float | None = Field(
        None, description="Share of the observed area, 0 to 1, with values outside those of the training."
    )
    outside_ha: float | None = Field(None, description="Hectares with values outside those of the training.")

    @classmethod
    def of(cls, areas: Areas) -> "AreaRow":
        """The row for the areas of one class."""
        return cls(**asdict(areas))


class AreaTable(Document):
    """The areas of a prediction. Of two classes only the second has a row; of more classes each has one."""

    items: tuple[AreaRow, ...]


class AreaFeature(Document):
    """The areas of one class as a GeoJSON feature, whose geometry is the footprint of the scene."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: AreaRow


class AreaFeatures(Document):
    """The areas of a prediction as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[AreaFeature, ...]
