"""The documents of scenes and predictions: STAC Items (1.1.0)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from app import tables
from app.api.documents.base import Checksum, Document, Link, Omitted, Software, checksum, link
from app.api.documents.jobs import Job, Status
from app.api.documents.trainings import VersionReference
from ml.config import PredictConfig
from ml.faults import Note
from ml.scenes.inspect import BandInfo, SceneInfo

GEOJSON = "application/geo+json"
GEOTIFF = "image/tiff; application=geotiff"
COG = f"{GEOTIFF}; profile=cloud-optimized"
MEDIA_TYPES = {
    "classes.tif": COG,
    "probability.tif": COG,
    "polygons.geojson": GEOJSON,
    "polygons.gpkg": "application/geopackage+sqlite3",
    "classes.qml": "application/xml",
    "web.tif": COG,
}
TILES = "tiles/WebMercatorQuad/{z}/{x}/{y}"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
WEB_MAP_LINKS = "https://stac-extensions.github.io/web-map-links/v1.2.0/schema.json"


class Geometry(Document):
    """A GeoJSON geometry (RFC 7946). Its coordinates are longitude and latitude in WGS 84, in degrees."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: tuple[Any, ...]


class Asset(Document):
    """A file that belongs to an item."""

    href: str
    type: str = Field(description="Media type.")
    roles: tuple[str, ...]
    checksum: Checksum
    size: int = Field(alias="file:size", description="Size of the file in bytes.")


class BandRange(Document):
    """Statistics of a band over a sample of its valid pixels, in physical units."""

    minimum: float
    maximum: float
    mean: float
    stddev: float


class Band(Document):
    """A band of a scene. `nodata` is left out if no pixel value means that there are no data."""

    name: str
    data_type: str
    nodata: Omitted[float]
    statistics: BandRange

    @classmethod
    def of(cls, band: BandInfo, nodata: float | None) -> "Band":
        """The document of a band. nodata: the value for pixels without data in its scene."""
        known = band.statistics
        values = BandRange(minimum=known.min, maximum=known.max, mean=known.mean, stddev=known.std)
        return cls(name=band.name, data_type=band.dtype, nodata=nodata, statistics=values)


class Grid(Document):
    """The grid of the pixels, described with the fields of the projection extension of STAC."""

    code: Omitted[str] = Field(None, alias="proj:code")
    wkt2: str = Field(alias="proj:wkt2")
    shape: tuple[int, int] = Field(alias="proj:shape", description="Number of rows and of columns.")
    transform: tuple[float, float, float, float, float, float] = Field(alias="proj:transform")
    gsd: float = Field(description="Ground sampling distance in metres.")


class SceneProperties(Grid):
    """The properties of a scene. `datetime` is the time of acquisition; it is null if the upload did not state it."""

    acquired: datetime | None = Field(alias="datetime")
    created: datetime
    updated: datetime
    instruments: Omitted[tuple[str, ...]]
    bands: tuple[Band, ...]
    warnings: tuple[Note, ...]


class PredictionProperties(Grid):
    """The properties of a prediction.

    `datetime` is the time at which its scene was acquired. `software` is left out until the job has succeeded.
    `warnings` say how its scene is unlike the training of the model; they are left out if there are none.
    """

    acquired: datetime | None = Field(alias="datetime")
    created: datetime
    updated: datetime
    status: Status
    scene: str
    model: VersionReference
    config: PredictConfig
    software: Omitted[Software]
    warnings: Omitted[tuple[Note, ...]]


Properties = TypeVar("Properties", SceneProperties, PredictionProperties)


class Item(Document, Generic[Properties]):
    """A STAC Item. `bbox` is west, south, east and north in degrees."""

    type: Literal["Feature"] = "Feature"
    stac_version: Literal["1.1.0"] = "1.1.0"
    stac_extensions: tuple[str, ...] = EXTENSIONS
    id: str
    geometry: Geometry
    bbox: tuple[float, float, float, float]
    properties: Properties
    assets: dict[str, Asset]
    links: tuple[Link, ...]


class Scene(Item[SceneProperties]):
    """A scene as a STAC Item. Its asset `data` is the GeoTIFF."""

    @classmethod
    def of(cls, row: tables.Scene) -> "Scene":
        """The document of the scene in `row`."""
        url, info = f"/v1/scenes/{row.id}", row.info
        properties = SceneProperties(
            **_grid(info),
            acquired=row.acquired,
            created=row.created,
            updated=row.updated,
            instruments=(row.sensor,) if row.sensor else None,
            bands=tuple(Band.of(band, info.nodata) for band in info.bands),
            warnings=info.warnings,
        )
        file = _asset(f"{url}/data", COG, "data", row.sha256, row.size_bytes)
        return cls(
            id=row.id,
            geometry=info.footprint,
            bbox=info.bbox,
            properties=properties,
            assets={"data": file},
            links=(link(url, "self", GEOJSON),),
        )


class Prediction(Item[PredictionProperties]):
    """A prediction as a STAC Item. It has no assets until its job has succeeded."""

    job: Job

    @classmethod
    def of(
        cls, row: tables.Prediction, scene: tables.Scene, work: tables.Job, warnings: tuple[Note, ...]
    ) -> "Prediction":
        """The document of the prediction in `row`. scene: its scene. work: its job."""
        url, info, products = f"/v1/predictions/{row.id}", scene.info, row.products or {}
        properties = PredictionProperties(
            **_grid(info),
            acquired=scene.acquired,
            created=row.created,
            updated=work.updated,
            status=work.reported_status,
            scene=row.scene,
            model=VersionReference(name=row.model, version=row.version),
            config=row.config,
            software=row.software,
            warnings=warnings or None,
        )
        tiled = "web.tif" in products
        return cls(
            stac_extensions=(*EXTENSIONS, WEB_MAP_LINKS) if tiled else EXTENSIONS,
            id=row.id,
            geometry=info.footprint,
            bbox=info.bbox,
            properties=properties,
            assets={
                name: _asset(f"{url}/{name}", MEDIA_TYPES[name], _role(name), item.sha256, item.size_bytes)
                for name, item in products.items()
            },
            links=(*_links(row, url), *(_tile_links(url) if tiled else ())),
            job=Job.of(work),
        )


class ItemCollection(Document, Generic[Properties]):
    """A page of STAC Items, newest first. `next` is the `token` of the next page; it is null on the last page."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[Item[Properties], ...]
    returned: int = Field(alias="numberReturned")
    links: tuple[Link, ...]
    next: str | None


class Scenes(ItemCollection[SceneProperties]):
    """A page of scenes, newest upload first."""

    features: tuple[Scene, ...]

    @classmethod
    def of(cls, rows: Iterable[tables.Scene], token: str | None, next_page: str | None) -> "Scenes":
        """The document of one page. token: `next` of this page. next_page: URL of the next page."""
        features = tuple(map(Scene.of, rows))
        return cls(features=features, returned=len(features), links=_next(next_page), next=token)


class Predictions(ItemCollection[PredictionProperties]):
    """A page of predictions, newest first."""

    features: tuple[Prediction, ...]

    @classmethod
    def of(cls, features: Iterable[Prediction], token: str | None, next_page: str | None) -> "Predictions":
        """The document of one page. token: `next` of this page. next_page: URL of the next page."""
        items = tuple(features)
        return cls(features=items, returned=len(items), links=_next(next_page), next=token)


def _next(href: str | None) -> tuple[Link, ...]:
    return (link(href, "next", GEOJSON),) if href else ()


def _grid(info: SceneInfo) -> dict[str, Any]:
    return {
        "code": info.crs_code,
        "wkt2": info.crs,
        "shape": (info.rows, info.cols),
        "transform": info.transform,
        "gsd": info.gsd,
    }


def _asset(href: str, type_: str, role: str, sha256: str, size_bytes: int) -> Asset:
    return Asset(href=href, type=type_, roles=(role,), checksum=checksum(sha256), size=size_bytes)


def _role(name: str) -> str:
    return "visual" if name == "web.tif" else "data"


def _links(row: tables.Prediction, url: str) -> tuple[Link, ...]:
    derived = link(f"/v1/scenes/{row.scene}", "derived_from")
    return link(url, "self", GEOJSON), derived, link(f"{url}/areas", "areas")


def _tile_links(url: str) -> tuple[Link, ...]:
    return link(f"{url}/tilejson.json", "tilejson"), link(f"{url}/{TILES}.webp", "xyz", "image/webp")
