"""Areas of a prediction: hectares."""

from dataclasses import asdict
from typing import Literal

from pydantic import Field

from app.api.documents.base import Document
from app.api.documents.stac import Geometry
from app.mapping.predictions import Areas


class AreaRow(Document):
    """Hectares of a class. zone, name: null for the whole scene."""

    zone: str | None = None
    name: str | None = None
    class_name: str = Field(alias="class")
    observed_ha: float = Field(description="Hectares with valid pixels.")
    unobserved_ha: float = Field(description="Hectares without.")
    mapped_ha: float = Field(description="Hectares that the map shows.")
    mapped_mu: float = Field(description="The same in mu: 15 mu are a hectare.")
    adjusted_ha: float | None = Field(
        description="Hectares by the map and the model's errors on its test split; null where these are not known."
    )
    ci95_ha: tuple[float, float] | None = Field(description="95 % interval of it.")

    @classmethod
    def of(cls, areas: Areas) -> "AreaRow":
        """The row of a class."""
        return cls(**asdict(areas))


class AreaTable(Document):
    """A row for class 1, or for each class of more than two."""

    items: tuple[AreaRow, ...]


class AreaFeature(Document):
    """The same row with the footprint of the scene."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: AreaRow


class AreaFeatures(Document):
    """The table as GeoJSON."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[AreaFeature, ...]
