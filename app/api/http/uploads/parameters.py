"""What a client states about a scene, labels or zones in addition to the file, in a query, a form or metadata."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, ValidationError

from app.api.http.json_bodies import read_json
from app.api.http.parameters import checked, faults_of
from app.core.errors import Invalid, Unreadable, invalid
from app.data import scenes
from app.data.scenes import SceneOptions
from app.requests.texts import Title
from ml.frozen import Frozen
from ml.geo.crs import crs_from_code
from ml.labels.classes import ClassTable, LabelOptions
from ml.zones.read import ZoneOptions

# A browser sends an empty text for a field of a form that was not filled in.
MOMENT: dict[str, Any] = {
    "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, {"const": ""}]
}
CLASSES: dict[str, Any] = {
    "contentMediaType": "application/json",
    "contentSchema": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 255}},
}


def _read_acquired(text: str) -> datetime | None:
    """A time in UTC; None for a field that was not filled in. Raises `Invalid`."""
    return scenes.read_acquired(text, "") if text else None


class SceneParameters(Frozen):
    """What a client states about a scene in addition to the file."""

    acquired: Annotated[str | None, checked(_read_acquired)] = Field(
        None, max_length=40, description="Date or RFC 3339 time of acquisition.", json_schema_extra=MOMENT
    )
    sensor: str | None = Field(None, max_length=200, description="Name of the sensor.")
    bands: str | None = Field(None, max_length=2000, description="Names of the bands in order, for instance b,g,r,nir.")
    nodata: float | None = Field(None, description="Value of pixels without data, if the file declares none.")
    title: Title | None = None

    def options(self) -> SceneOptions:
        """These parameters as `SceneOptions`."""
        return SceneOptions(
            acquired=_read_acquired(self.acquired or ""),
            sensor=self.sensor,
            bands=tuple(name.strip() for name in self.bands.split(",")) if self.bands else None,
            nodata=self.nodata,
        )


def _read_classes(text: str) -> dict[str, int]:
    """The classes in a JSON object. Raises `Invalid`, or `InputRefused` for a text that stands for two classes."""
    try:
        classes = LabelOptions.model_validate({"classes": read_json(text)}).classes or {}
    except Unreadable as error:
        hint = 'Write, for instance, {"sugarcane": 1, "*": 0}, and encode it for a URL.'
        raise invalid("invalid-classes", "`classes` is not JSON.", hint) from error
    except ValidationError as error:
        items = ({**item, "loc": ("body", *item["loc"][1:])} for item in error.errors(include_url=False))
        raise Invalid("invalid-classes", *faults_of(items)) from error
    return dict(ClassTable(classes).classes or {})


def _read_background(text: str) -> int:
    if text not in ("0", "255"):
        raise invalid("invalid-background", "`background` is another value.", "Write 0, or 255 for unlabelled.")
    return int(text)


class LabelParameters(Frozen):
    """How an uploaded layer of labels is read."""

    class_field: str | None = Field(None, max_length=200, description="Attribute that holds the class of a polygon.")
    classes: Annotated[str | None, checked(_read_classes)] = Field(
        None,
        max_length=20_000,
        description='Class by value of that attribute, as JSON: {"sugarcane": 1, "*": 0}; * is any other text, and "" '
        "a missing one.",
        json_schema_extra=CLASSES,
    )
    crs: Annotated[str | None, checked(crs_from_code)] = Field(
        None, max_length=200, description="CRS of the layer if the file has none: EPSG:32649."
    )
    background: Annotated[str | None, checked(_read_background)] = Field(
        None,
        max_length=20,
        description="Value of pixels that no polygon covers: 255 (unlabelled, the default), or 0 if all of them are of "
        "class 0.",
        json_schema_extra={"enum": ["0", "255"]},
    )
    field_id: str | None = Field(None, max_length=200, description="Attribute that polygons of one field share.")
    layer: str | None = Field(
        None, max_length=200, description="Layer to read of a GeoPackage, or Shapefile of a zip, that holds several."
    )
    title: Title | None = None

    def options(self) -> LabelOptions:
        """These parameters as `LabelOptions`."""
        values = self.model_dump(exclude_none=True, include=set(LabelOptions.model_fields))
        if self.classes is not None:
            values["classes"] = _read_classes(self.classes)
        if self.background is not None:
            values["background"] = _read_background(self.background)
        return LabelOptions.model_validate(values)


class ZoneParameters(Frozen):
    """How an uploaded layer of zones is read."""

    code_field: str | None = Field(None, max_length=200, description="Attribute that holds the code of a zone.")
    name_field: str | None = Field(None, max_length=200, description="Attribute that holds the name of a zone.")
    parent_field: str | None = Field(
        None, max_length=200, description="Attribute that holds the code of the zone that a zone is a part of."
    )
    crs: Annotated[str | None, checked(crs_from_code)] = Field(
        None, max_length=200, description="CRS of the layer if the file has none: EPSG:32649."
    )
    layer: str | None = Field(
        None, max_length=200, description="Layer to read of a GeoPackage, or Shapefile of a zip, that holds several."
    )
    title: Title | None = None

    def options(self) -> ZoneOptions:
        """These parameters as `ZoneOptions`."""
        return ZoneOptions.model_validate(self.model_dump(include=set(ZoneOptions.model_fields)))
