"""Scenes and predictions as STAC Items (1.1.0)."""

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
    """A geometry of GeoJSON (RFC 7946), in longitudes and latitudes of WGS 84."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: tuple[Any, ...]


class Asset(Document):
    """A file of an item."""

    href: str
    type: str = Field(description="Media type.")
    roles: tuple[str, ...]
    checksum: Checksum
    size: int = Field(alias="file:size", description="Bytes.")


class BandRange(Document):
    """A band over a sample of the valid pixels, in physical units."""

    minimum: float
    maximum: float
    mean: float
    stddev: float


class Band(Document):
    """A band of a scene. nodata: left out where no pixel value means that there are no data."""

    name: str
    data_type: str
    nodata: Omitted[float]
    statistics: BandRange

    @classmethod
    def of(cls, band: BandInfo, nodata: float | None) -> "Band":
        """A band. nodata: of its scene."""
        known = band.statistics
        values = BandRange(minimum=known.min, maximum=known.max, mean=known.mean, stddev=known.std)
        return cls(name=band.name, data_type=band.dtype, nodata=nodata, statistics=values)


class Grid(Document):
    """Where the pixels lie, in the words of STAC's projection extension."""

    code: Omitted[str] = Field(None, alias="proj:code")
    wkt2: str = Field(alias="proj:wkt2")
    shape: tuple[int, int] = Field(alias="proj:shape", description="Rows and columns.")
    transform: tuple[float, float, float, float, float, float] = Field(alias="proj:transform")
    gsd: float = Field(description="Ground sampling distance in metres.")


class SceneProperties(Grid):
    """What is known of a scene. datetime: when it was acquired, null where nobody said."""

    acquired: datetime | None = Field(alias="datetime")
    created: datetime
    updated: datetime
    instruments: Omitted[tuple[str, ...]]
    bands: tuple[Band, ...]
    warnings: tuple[Note, ...]


class PredictionProperties(Grid):
    """What is known of a prediction. datetime: of its scene. software: left out until the job has succeeded."""

    acquired: datetime | None = Field(alias="datetime")
    created: datetime
    updated: datetime
    status: Status
    scene: str
    model: VersionReference
    config: PredictConfig
    software: Omitted[Software]


Properties = TypeVar("Properties", SceneProperties, PredictionProperties)


class Item(Document, Generic[Properties]):
    """A STAC Item. bbox: west, south, east, north in degrees."""

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
    """A scene as a STAC Item; its asset `data` is the file."""

    @classmethod
    def of(cls, row: tables.Scene) -> "Scene":
        """The scene in `row`."""
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
    """A prediction as a STAC Item; it has assets once its job has succeeded."""

    job: Job

    @classmethod
    def of(cls, row: tables.Prediction, scene: tables.Scene, work: tables.Job) -> "Prediction":
        """The prediction in `row`, with its scene and its job."""
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
    """A page of STAC Items, newest first. next: what `token` of the next page is; null on the last one."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[Item[Properties], ...]
    returned: int = Field(alias="numberReturned")
    links: tuple[Link, ...]
    next: str | None


class Scenes(ItemCollection[SceneProperties]):
    """A page of scenes."""

    features: tuple[Scene, ...]

    @classmethod
    def of(cls, rows: Iterable[tables.Scene], token: str | None, next_page: str | None) -> "Scenes":
        """A page. next_page: the address of the next one."""
        features = tuple(map(Scene.of, rows))
        return cls(features=features, returned=len(features), links=_next(next_page), next=token)


class Predictions(ItemCollection[PredictionProperties]):
    """A page of predictions."""

    features: tuple[Prediction, ...]

    @classmethod
    def of(cls, features: Iterable[Prediction], token: str | None, next_page: str | None) -> "Predictions":
        """A page. next_page: the address of the next one."""
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
