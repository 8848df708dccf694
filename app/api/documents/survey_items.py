"""Surveys in the catalogue: their mosaics as STAC Items."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from app import tables
from app.api.documents.base import Document, Link, Omitted, link
from app.api.documents.stac import (
    FIRST_SATELLITE,
    GEOJSON,
    WEB_MAP_LINKS,
    Geometry,
    Times,
    asset,
    extensions,
    item_links,
    tile_links,
)
from app.api.documents.stac_assets import Asset, class_band
from app.api.documents.surveys import TYPES
from app.api.documents.trainings import VersionReference
from app.mapping.surveys import Covered
from app.storage import Stored
from ml.contract import ClassDef
from ml.products import web_grid
from ml.surveys.mosaic import Mosaic
from ml.surveys.order import Rule

_ROLES = {"web.tif": "visual", "mosaic.qml": "style", "sources.tif": "metadata"}


class SurveyProperties(Times):
    """The properties of a survey: `start_datetime` and `end_datetime` enclose the times of its scenes."""

    title: Omitted[str]
    created: datetime
    model: VersionReference
    scenes: int
    overlap: Rule


class SurveyItem(Document):
    """The mosaic of a survey as a STAC Item."""

    type: Literal["Feature"] = "Feature"
    stac_version: Literal["1.1.0"] = "1.1.0"
    stac_extensions: tuple[str, ...]
    id: str
    collection: Literal["surveys"] = "surveys"
    geometry: Geometry
    bbox: tuple[float, float, float, float]
    properties: SurveyProperties
    assets: dict[str, Asset]
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.Survey, ground: Covered, classes: Sequence[ClassDef], address: str) -> "SurveyItem":
        """The document of the survey in `row`. ground: What its scenes cover. address: of the service."""
        url, products = f"{address}/v1/surveys/{row.id}", row.products or {}
        own = f"{address}/v1/stac/collections/surveys/items/{row.id}"
        tiles = tile_links(url, "webp") if "web.tif" in products else ()
        assets = _assets(url, products, row.mosaic, classes)
        first, last = ground.times
        return cls(
            stac_extensions=extensions(WEB_MAP_LINKS if tiles else None, assets),
            id=row.id,
            geometry=Geometry.model_validate(ground.footprint),
            bbox=ground.box,
            properties=SurveyProperties(
                acquired=None,
                earliest=first or FIRST_SATELLITE,
                latest=last or row.created,
                title=row.title,
                created=row.created,
                model=VersionReference(name=row.model, version=row.version),
                scenes=ground.scenes,
                overlap=row.options.overlap,
            ),
            assets=assets,
            links=(
                *item_links(address, "surveys", own),
                link(url, "alternate"),
                link(f"{url}/areas", "areas"),
                link(f"{url}/scenes?f=geojson", "derived_from", GEOJSON),
                *tiles,
            ),
        )


def _assets(
    url: str, products: Mapping[str, Stored], mosaic: Mosaic | None, classes: Sequence[ClassDef]
) -> dict[str, Asset]:
    on_grid: dict[str, Any] = {}
    if mosaic is not None:
        code = {"code": mosaic.crs} if ":" in mosaic.crs else {}
        on_grid = {**code, "shape": (mosaic.rows, mosaic.cols), "transform": mosaic.transform}
    more = {
        "mosaic.tif": {**on_grid, "bands": (class_band(classes),)},
        "sources.tif": on_grid,
        "web.tif": {"code": web_grid.CRS},
    }
    return {
        name: asset(
            f"{url}/{name}",
            TYPES[name],
            _ROLES.get(name, "data"),
            item.sha256,
            item.size_bytes,
            **more.get(name, {}),
        )
        for name, item in products.items()
    }
