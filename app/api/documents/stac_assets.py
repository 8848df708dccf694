"""The files of STAC Items: what their bands, their grid and their class values are."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from app.api.documents.base import CHECKSUM, Document, Omitted
from ml.contract import MAP_NODATA, ClassDef
from ml.products.cog import MapEncoding
from ml.products.palette import UNOBSERVED, colours
from ml.products.write import PROBABILITY, UNCERTAINTY
from ml.scenes.inspect import BandInfo, SceneInfo

_PLAIN = re.compile("[0-9A-Za-z_-]+")


class Grid(Document):
    """The grid of the pixels, described with the fields of the projection extension of STAC."""

    code: Omitted[str] = Field(None, alias="proj:code")
    wkt2: Omitted[str] = Field(None, alias="proj:wkt2")
    shape: Omitted[tuple[int, int]] = Field(None, alias="proj:shape", description="Number of rows and of columns.")
    transform: Omitted[tuple[float, float, float, float, float, float]] = Field(None, alias="proj:transform")


def crs_of(info: SceneInfo) -> dict[str, Any]:
    """The fields of `Grid` for what lies in the CRS of a scene: the code, or the definition if there is no code."""
    return {"code": info.crs_code} if info.crs_code else {"wkt2": info.crs}


def grid_of(info: SceneInfo) -> dict[str, Any]:
    """The fields of `Grid` for what lies on the pixels of a scene."""
    return {**crs_of(info), "shape": (info.rows, info.cols), "transform": info.transform}


class BandRange(Document):
    """Statistics of a band over a sample of its valid pixels, in physical units."""

    minimum: float
    maximum: float
    mean: float
    stddev: float


class LegendEntry(Document):
    """What a value of a map means. `name` is for machines, `title` and `description` are the name of the class."""

    value: int
    name: str
    title: str
    description: str
    colour: str = Field(alias="color_hint", description="Six hexadecimal digits: red, green and blue.")
    nodata: Omitted[bool] = None


class Band(Document):
    """A band of a file. `nodata` is left out if no pixel value means that there are no data.

    A stored number means `raster:scale` * number + `raster:offset`; both are left out if it means itself.
    """

    name: str
    description: Omitted[str] = None
    data_type: str
    nodata: Omitted[float] = None
    scale: Omitted[float] = Field(None, alias="raster:scale")
    offset: Omitted[float] = Field(None, alias="raster:offset")
    statistics: Omitted[BandRange] = None
    classes: Omitted[tuple[LegendEntry, ...]] = Field(None, alias="classification:classes")

    @classmethod
    def of(cls, band: BandInfo, nodata: float | None) -> "Band":
        """The document of a band of a scene. nodata: the value for pixels without data in its scene."""
        known = band.statistics
        scaling = band.scaling if band.scaling and band.scaling.declared else None
        return cls(
            name=band.name,
            description=band.description,
            data_type=band.dtype,
            nodata=nodata,
            scale=scaling and scaling.scale,
            offset=scaling and scaling.offset,
            statistics=BandRange(minimum=known.min, maximum=known.max, mean=known.mean, stddev=known.std),
        )


class Asset(Grid):
    """A file that belongs to an item. Fields of the projection extension, if there are any, are those of the file.

    A picture that is drawn when it is asked for has neither a checksum nor a size.
    """

    href: str
    type: str = Field(description="Media type.")
    roles: tuple[str, ...]
    checksum: Omitted[str] = Field(None, alias="file:checksum", description=CHECKSUM)
    size: Omitted[int] = Field(None, alias="file:size", description="Size of the file in bytes.")
    bands: Omitted[tuple[Band, ...]] = None


def class_band(classes: Sequence[ClassDef]) -> Band:
    """The band of a class map."""
    return Band(name="class", data_type="uint8", nodata=MAP_NODATA, classes=(*legend(classes), _UNOBSERVED))


def _scaled(name: str, encoding: MapEncoding) -> Band:
    """The band of a map whose bytes mean numbers."""
    numbers = {"scale": encoding.scale, "offset": encoding.offset}
    return Band(name=name, description=encoding.description, data_type="uint8", nodata=MAP_NODATA, **numbers)


PROBABILITY_BAND, UNCERTAINTY_BAND = _scaled("probability", PROBABILITY), _scaled("uncertainty", UNCERTAINTY)


def legend(classes: Sequence[ClassDef]) -> tuple[LegendEntry, ...]:
    """The classes with their colours, as maps have them."""
    palette = colours(classes)
    return tuple(_entry(item.value, item.name, palette[item.value]) for item in classes)


def _entry(value: int, name: str, colour: tuple[int, int, int], nodata: bool | None = None) -> LegendEntry:
    plain = name if _PLAIN.fullmatch(name) else f"class-{value}"
    hint = bytes(colour).hex().upper()
    return LegendEntry(value=value, name=plain, title=name, description=name, colour=hint, nodata=nodata)


_UNOBSERVED = _entry(MAP_NODATA, "unobserved", UNOBSERVED, nodata=True)
