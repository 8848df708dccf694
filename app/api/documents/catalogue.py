"""The documents of the STAC API: landing page, conformance, collections and pages of Items."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from app.api.documents.base import Document, Link, Omitted, link
from app.api.documents.mlm import ModelItem
from app.api.documents.stac import GEOJSON, Prediction, Scene
from app.api.documents.survey_items import SurveyItem
from app.catalogue import Extent

CONFORMANCE = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"
TITLES = {
    "scenes": ("Scenes", "The satellite scenes that were uploaded, as cloud-optimised GeoTIFFs."),
    "predictions": ("Maps", "Class maps that models made of scenes: rasters, polygons, tiles and hectares."),
    "surveys": ("Surveys", "Mosaics of the class maps of many scenes, in which each piece of ground counts once."),
    "models": ("Models", "Versions of trained nets, with what a scene must be for them."),
}


class SearchLink(Link):
    """A link of the STAC API. `title` names a child, and `body` is sent with the method POST, as it is."""

    title: Omitted[str] = None
    method: Omitted[Literal["GET", "POST"]] = None
    body: Omitted[dict[str, Any]] = None


class LandingPage(Document):
    """The root of the catalogue: a STAC Catalog that is the landing page of a STAC API."""

    type: Literal["Catalog"] = "Catalog"
    stac_version: Literal["1.1.0"] = "1.1.0"
    id: Literal["canemap"] = "canemap"
    title: str = "canemap"
    description: str = "Satellite scenes, models trained on them, and the maps that they made."
    conforms_to: tuple[str, ...] = Field(CONFORMANCE, alias="conformsTo")
    links: tuple[SearchLink, ...]

    @classmethod
    def of(cls, address: str) -> "LandingPage":
        """The landing page. address: of the service."""
        root = f"{address}/v1/stac"
        search = f"{root}/search"
        return cls(
            links=(
                *(_link(root, rel) for rel in ("self", "root")),
                _link(f"{root}/conformance", "conformance"),
                _link(f"{root}/collections", "data"),
                *(SearchLink(href=search, rel="search", type=GEOJSON, method=method) for method in ("GET", "POST")),
                _link(f"{address}/openapi.json", "service-desc", OPENAPI),
                _link(f"{address}/docs", "service-doc", "text/html"),
                *(_child(f"{root}/collections/{name}", title) for name, (title, _) in TITLES.items()),
            )
        )


class Conformance(Document):
    """What the STAC API conforms to."""

    conforms_to: tuple[str, ...] = Field(CONFORMANCE, alias="conformsTo")


class Boxes(Document):
    """Where the items of a collection lie: west, south, east and north in degrees."""

    bbox: tuple[tuple[float, float, float, float], ...]


class Intervals(Document):
    """When the items of a collection are from. null is an open end."""

    interval: tuple[tuple[datetime | None, datetime | None], ...]


class Extents(Document):
    """What a collection covers."""

    spatial: Boxes
    temporal: Intervals

    @classmethod
    def of(cls, extent: Extent) -> "Extents":
        """The document of an extent; of an empty collection it is the whole Earth at any time."""
        box = extent.bbox or (-180.0, -90.0, 180.0, 90.0)
        return cls(spatial=Boxes(bbox=(box,)), temporal=Intervals(interval=((extent.start, extent.end),)))


class StacCollection(Document):
    """A STAC Collection."""

    type: Literal["Collection"] = "Collection"
    stac_version: Literal["1.1.0"] = "1.1.0"
    id: str
    title: str
    description: str
    license: Literal["other"] = Field("other", description="What the owner of the service says.")
    extent: Extents
    links: tuple[Link, ...]

    @classmethod
    def of(cls, id_: str, extent: Extent, address: str) -> "StacCollection":
        """The document of the collection `id_`. address: of the service."""
        root = f"{address}/v1/stac"
        own = f"{root}/collections/{id_}"
        title, description = TITLES[id_]
        links = (link(own, "self"), link(root, "root"), link(root, "parent"), link(f"{own}/items", "items", GEOJSON))
        return cls(id=id_, title=title, description=description, extent=Extents.of(extent), links=links)


class StacCollections(Document):
    """All collections."""

    collections: tuple[StacCollection, ...]
    links: tuple[Link, ...]

    @classmethod
    def of(cls, collections: Iterable[StacCollection], address: str) -> "StacCollections":
        """The document of all collections. address: of the service."""
        root = f"{address}/v1/stac"
        return cls(collections=tuple(collections), links=(link(f"{root}/collections", "self"), link(root, "root")))


class FoundItems(Document):
    """A page of Items of any collections. `next` is the `token` of the next page; it is null on the last page."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[Scene | Prediction | SurveyItem | ModelItem, ...]
    returned: int = Field(alias="numberReturned")
    links: tuple[SearchLink, ...]
    next: str | None

    @classmethod
    def of(
        cls,
        features: Iterable[Scene | Prediction | SurveyItem | ModelItem],
        token: str | None,
        links: Iterable[SearchLink],
    ) -> "FoundItems":
        """The document of one page. token: `next` of this page."""
        items = tuple(features)
        return cls(features=items, returned=len(items), links=tuple(links), next=token)


def _link(href: str, rel: str, type_: str = "application/json") -> SearchLink:
    return SearchLink(href=href, rel=rel, type=type_)


def _child(href: str, title: str) -> SearchLink:
    return SearchLink(href=href, rel="child", type="application/json", title=title)
