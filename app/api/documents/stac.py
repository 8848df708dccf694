"""The documents of scenes and predictions: STAC Items (1.1.0).

Their links are full URLs, because Items are copied into catalogues of other hosts.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, Omitted, Software, checksum, link
from app.api.documents.jobs import Job, Status
from app.api.documents.stac_assets import (
    PROBABILITY_BAND,
    UNCERTAINTY_BAND,
    Asset,
    Band,
    Grid,
    class_band,
    crs_of,
    grid_of,
)
from app.api.documents.trainings import VersionReference
from app.storage import Stored
from ml.config import PredictConfig
from ml.contract import ClassDef
from ml.faults import Note
from ml.products import web_grid
from ml.products.polygon_totals import PolygonTotals
from ml.scenes.applicability import Applicability
from ml.scenes.inspect import SceneInfo

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
    "uncertainty.tif": COG,
    "uncertainty-web.tif": COG,
}
ROLES = {
    "web.tif": "visual",
    "uncertainty-web.tif": "visual",
    "classes.qml": "style",
}  # of the products that are not simply data
THUMBNAIL_PX = 512
TILES = "tiles/WebMercatorQuad/{z}/{x}/{y}"
_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
PROJECTION, FILE, RASTER, CLASSIFICATION, WEB_MAP_LINKS = (
    _EXTENSION.format(name)
    for name in ("projection/v2.0.0", "file/v2.1.0", "raster/v2.0.0", "classification/v2.0.0", "web-map-links/v1.2.0")
)
FIRST_SATELLITE = datetime(1970, 1, 1, tzinfo=UTC)  # no satellite took multispectral images before the seventies


class Geometry(Document):
    """A GeoJSON geometry (RFC 7946). Its coordinates are longitude and latitude in WGS 84, in degrees."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: tuple[Any, ...]


class Times(Document):
    """When an image was taken.

    If nobody stated it, `datetime` is null, and `start_datetime` and `end_datetime`, as STAC requires, enclose every
    time that is possible: from 1970 to the upload. Otherwise both are left out.
    """

    acquired: datetime | None = Field(alias="datetime")
    earliest: Omitted[datetime] = Field(None, alias="start_datetime")
    latest: Omitted[datetime] = Field(None, alias="end_datetime")


class SceneProperties(Times, Grid):
    """The properties of a scene. `datetime` is the time of acquisition; it is null if the upload did not state it."""

    title: Omitted[str] = Field(description="A name for people, in any script; left out if it has none.")
    gsd: float = Field(description="Ground sampling distance in metres.")
    created: datetime
    updated: datetime
    instruments: Omitted[tuple[str, ...]]
    warnings: tuple[Note, ...]


class PredictionProperties(Times):
    """The properties of a prediction.

    `datetime` is the time at which its scene was acquired. `software` is left out until the job has succeeded.
    `applicability` says whether the scene is like the training of the model, and is left out until then, too.
    `polygons` says how the hectares of the polygon files follow from those of the pixels, and is left out without them.
    `warnings` say how its scene is unlike the training of the model; they are left out if there are none. The grid
    stands in the assets, because they do not share one.
    """

    title: Omitted[str] = Field(description="A name for people, in any script; left out if it has none.")
    gsd: float = Field(description="Ground sampling distance in metres.")
    created: datetime
    updated: datetime
    status: Status
    scene: str
    model: VersionReference
    config: PredictConfig
    software: Omitted[Software]
    applicability: Omitted[Applicability]
    polygons: Omitted[PolygonTotals]
    warnings: Omitted[tuple[Note, ...]]


Properties = TypeVar("Properties", SceneProperties, PredictionProperties)


class Item(Document, Generic[Properties]):
    """A STAC Item. `bbox` is west, south, east and north in degrees."""

    type: Literal["Feature"] = "Feature"
    stac_version: Literal["1.1.0"] = "1.1.0"
    stac_extensions: tuple[str, ...]
    id: str
    collection: str
    geometry: Geometry
    bbox: tuple[float, float, float, float]
    properties: Properties
    assets: dict[str, Asset]
    links: tuple[Link, ...]


class Scene(Item[SceneProperties]):
    """A scene as a STAC Item. Its asset `data` is the GeoTIFF, and `thumbnail` a small picture of it."""

    @classmethod
    def of(cls, row: tables.Scene, address: str) -> "Scene":
        """The document of the scene in `row`. address: of the service."""
        url, info = f"{address}/v1/scenes/{row.id}", row.info
        properties = SceneProperties(
            **_times(row),
            **(grid_of(info) | {"wkt2": info.crs}),
            title=row.title,
            gsd=info.gsd,
            created=row.created,
            updated=row.updated,
            instruments=(row.sensor,) if row.sensor else None,
            warnings=info.warnings,
        )
        bands = tuple(Band.of(band, info.nodata) for band in info.bands)
        assets = {"data": asset(f"{url}/data", COG, "data", row.sha256, row.size_bytes, bands=bands)}
        tiles = tile_links(url, "png") if web_grid.world_box(info.bbox) else ()
        if tiles:
            href = f"{url}/preview.png?max_size={THUMBNAIL_PX}"
            assets |= {"thumbnail": Asset(href=href, type="image/png", roles=("thumbnail",))}
        return cls(
            stac_extensions=extensions(PROJECTION, assets) + ((WEB_MAP_LINKS,) if tiles else ()),
            id=row.id,
            collection="scenes",
            geometry=info.footprint,
            bbox=info.bbox,
            properties=properties,
            assets=assets,
            links=(*item_links(address, "scenes", url), *tiles),
        )


class Prediction(Item[PredictionProperties]):
    """A prediction as a STAC Item. It has no assets until its job has succeeded."""

    job: Job

    @classmethod
    def of(
        cls,
        row: tables.Prediction,
        scene: tables.Scene,
        work: tables.Job,
        classes: Sequence[ClassDef],
        warnings: tuple[Note, ...],
        address: str,
    ) -> "Prediction":
        """The document of the prediction in `row`.

        scene: its scene. work: its job. classes: those that its model maps. address: of the service.
        """
        url, info, products = f"{address}/v1/predictions/{row.id}", scene.info, row.products or {}
        properties = PredictionProperties(
            **_times(scene),
            title=row.title,
            gsd=info.gsd,
            created=row.created,
            updated=work.updated,
            status=work.reported_status,
            scene=row.scene,
            model=VersionReference(name=row.model, version=row.version),
            config=row.config,
            software=row.software,
            applicability=row.areas.applicability if row.areas else None,
            polygons=row.areas.polygons if row.areas else None,
            warnings=warnings or None,
        )
        assets = {name: _product(f"{url}/{name}", name, item, info, classes) for name, item in products.items()}
        tiles = tile_links(url, "webp") if "web.tif" in products else ()
        return cls(
            stac_extensions=extensions(WEB_MAP_LINKS if tiles else None, assets),
            id=row.id,
            collection="predictions",
            geometry=info.footprint,
            bbox=info.bbox,
            properties=properties,
            assets=assets,
            links=(*item_links(address, "predictions", url), *_prediction_links(row, url, address), *tiles),
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
    def of(cls, rows: Iterable[tables.Scene], address: str, token: str | None, next_page: str | None) -> "Scenes":
        """The document of one page. address: of the service. token: `next` of this page. next_page: its URL."""
        features = tuple(Scene.of(row, address) for row in rows)
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


def _times(scene: tables.Scene) -> dict[str, datetime | None]:
    if scene.acquired is not None:
        return {"acquired": scene.acquired}
    return {"acquired": None, "earliest": FIRST_SATELLITE, "latest": scene.created}


def extensions(first: str | None, assets: Mapping[str, Asset]) -> tuple[str, ...]:
    """The extensions of STAC that an Item uses. first: one that its properties or links use."""
    bands = [band for asset in assets.values() for band in asset.bands or ()]
    used = {
        PROJECTION: any(asset.code or asset.wkt2 for asset in assets.values()),
        FILE: bool(assets),
        RASTER: any(band.scale is not None for band in bands),
        CLASSIFICATION: any(band.classes for band in bands),
    }
    used |= {first: True} if first else {}
    return tuple(uri for uri, is_used in used.items() if is_used)


def asset(href: str, type_: str, role: str, sha256: str, size_bytes: int, **more: Any) -> Asset:
    """A file of an Item. role: What it is for. more: Its grid and its bands."""
    return Asset(href=href, type=type_, roles=(role,), checksum=checksum(sha256), size=size_bytes, **more)


def _product(href: str, name: str, file: Stored, info: SceneInfo, classes: Sequence[ClassDef]) -> Asset:
    """The asset of a product, with its own grid."""
    role = ROLES.get(name, "data")
    return asset(href, MEDIA_TYPES[name], role, file.sha256, file.size_bytes, **_content(name, info, classes))


def _content(name: str, info: SceneInfo, classes: Sequence[ClassDef]) -> dict[str, Any]:
    match name:
        case "classes.tif":
            return {**grid_of(info), "bands": (class_band(classes),)}
        case "probability.tif":
            return {**grid_of(info), "bands": (PROBABILITY_BAND,)}
        case "uncertainty.tif":
            return {**grid_of(info), "bands": (UNCERTAINTY_BAND,)}
        case "polygons.gpkg":
            return crs_of(info)
        case "polygons.geojson":
            return {"code": "EPSG:4326"}
        case "web.tif" | "uncertainty-web.tif":
            return {"code": web_grid.CRS}
    return {}


def item_links(address: str, collection: str, url: str) -> tuple[Link, ...]:
    """The links of an Item to itself, at `url`, and to its place in the catalogue. address: of the service."""
    root = f"{address}/v1/stac"
    above = f"{root}/collections/{collection}"
    return (
        link(url, "self", GEOJSON),
        link(above, "parent"),
        link(above, "collection"),
        link(root, "root"),
    )


def _prediction_links(row: tables.Prediction, url: str, address: str) -> tuple[Link, ...]:
    return link(f"{address}/v1/scenes/{row.scene}", "derived_from", GEOJSON), link(f"{url}/areas", "areas")


def tile_links(url: str, format_: str) -> tuple[Link, ...]:
    """The links of an Item, whose document is at `url`, to its map tiles. format_: Of the tiles."""
    return link(f"{url}/tilejson.json", "tilejson"), link(f"{url}/{TILES}.{format_}", "xyz", f"image/{format_}")
