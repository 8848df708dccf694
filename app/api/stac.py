"""Scenes and predictions as STAC Items (1.1.0)."""

from collections.abc import Iterable

from app.api.documents import Json, checksum, job, link
from app.tables import Job, Prediction, Scene
from ml.scenes.inspect import BandInfo, SceneInfo

GEOTIFF = "image/tiff; application=geotiff"
COG = f"{GEOTIFF}; profile=cloud-optimized"
MEDIA_TYPES = {
    "classes.tif": COG,
    "probability.tif": COG,
    "polygons.geojson": "application/geo+json",
    "polygons.gpkg": "application/geopackage+sqlite3",
    "classes.qml": "application/xml",
    "web.tif": COG,
}
TILES = "tiles/WebMercatorQuad/{z}/{x}/{y}"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]
WEB_MAP_LINKS = "https://stac-extensions.github.io/web-map-links/v1.2.0/schema.json"


def scene_item(row: Scene) -> Json:
    """A scene."""
    info = row.info
    url = f"/v1/scenes/{row.id}"
    asset = {
        "href": f"{url}/data",
        "type": COG,
        "roles": ["data"],
        "file:checksum": checksum(row.sha256),
        "file:size": row.size_bytes,
    }
    properties = {
        **_grid(info),
        "datetime": row.acquired,
        "created": row.created,
        "updated": row.updated,
        "instruments": [row.sensor] if row.sensor else None,
        "bands": [_band(band, info.nodata) for band in info.bands],
        "warnings": info.warnings,
    }
    return _item(row.id, info, properties, {"data": asset}, [link(url, "self", "application/geo+json")])


def prediction_item(row: Prediction, scene: Scene, work: Job) -> Json:
    """A prediction; it has assets once its job has succeeded."""
    url = f"/v1/predictions/{row.id}"
    assets = {
        name: {
            "href": f"{url}/{name}",
            "type": MEDIA_TYPES[name],
            "roles": ["visual" if name == "web.tif" else "data"],
            "file:checksum": checksum(item.sha256),
            "file:size": item.size_bytes,
        }
        for name, item in (row.products or {}).items()
    }
    properties = {
        **_grid(scene.info),
        "datetime": scene.acquired,
        "created": row.created,
        "updated": work.updated,
        "status": work.reported_status,
        "scene": row.scene,
        "model": {"name": row.model, "version": row.version},
        "config": row.config,
        "software": row.software,
    }
    links = [
        link(url, "self", "application/geo+json"),
        link(f"/v1/scenes/{row.scene}", "derived_from"),
        link(f"{url}/areas", "areas"),
    ]
    item = _item(row.id, scene.info, properties, assets, links)
    if "web.tif" in assets:
        item["stac_extensions"] = [*EXTENSIONS, WEB_MAP_LINKS]
        item["links"] += [link(f"{url}/tilejson.json", "tilejson"), link(f"{url}/{TILES}.webp", "xyz", "image/webp")]
    return {**item, "job": job(work)}


def collection(items: Iterable[Json], token: str | None, href_next: str | None) -> Json:
    """A page of items."""
    links = [{"href": href_next, "rel": "next", "type": "application/geo+json"}] if href_next else []
    features = list(items)
    return {
        "type": "FeatureCollection",
        "features": features,
        "numberReturned": len(features),
        "links": links,
        "next": token,
    }


def _item(id_: str, info: SceneInfo, properties: Json, assets: Json, links: list[Json]) -> Json:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS,
        "id": id_,
        "geometry": info.footprint,
        "bbox": info.bbox,
        "properties": {key: value for key, value in properties.items() if value is not None or key == "datetime"},
        "assets": assets,
        "links": links,
    }


def _grid(info: SceneInfo) -> Json:
    return {
        "proj:code": info.crs_code,
        "proj:wkt2": info.crs,
        "proj:shape": [info.rows, info.cols],
        "proj:transform": info.transform,
        "gsd": info.gsd,
    }


def _band(band: BandInfo, nodata: float | None) -> Json:
    statistics = {
        "minimum": band.statistics.min,
        "maximum": band.statistics.max,
        "mean": band.statistics.mean,
        "stddev": band.statistics.std,
    }
    document = {"name": band.name, "data_type": band.dtype, "nodata": nodata, "statistics": statistics}
    return {key: value for key, value in document.items() if value is not None}
