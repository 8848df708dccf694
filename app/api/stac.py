"""Routes of /v1/stac: all that lies on the ground, as a STAC API 1.0.0 that QGIS and pystac-client can search."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from app import catalogue
from app.api.documents import whole as documents
from app.api.documents.catalogue import SearchLink
from app.api.documents.stac import GEOJSON
from app.api.http.answers import NEXT, GeoJson, answer
from app.api.http.deps import Address, Id, Reading, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.parameters import checked
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import OfScenes
from app.api.maps.prediction_items import items_of
from app.catalogue import COLLECTIONS, Search
from app.core.errors import NotFound, invalid
from app.core.names import ID
from app.data.selection import read_box, read_interval
from app.learning import training_ground
from app.mapping import surveys
from app.requests.data import StacSearch
from app.tables import ModelVersion, Prediction, Scene, Survey

router = APIRouter(prefix="/v1/stac", tags=["stac"], route_class=JsonRoute)
StacItem = documents.Scene | documents.Prediction | documents.SurveyItem | documents.ModelItem


class OfCatalogue(OfScenes):
    """The query parameters that select Items. A larger `limit` than 1000 is taken for 1000, as the standard asks."""

    limit: int = Field(100, ge=1, le=10_000, description="Largest number of items on a page, at most 1000.")
    ids: str | None = Field(None, max_length=4000, description="Ids of items, separated by commas.")
    collections: str | None = Field(None, max_length=1000, description="Ids of collections, separated by commas.")
    intersects: str | None = Field(None, max_length=8000, description="A geometry of GeoJSON that items must touch.")
    token: Annotated[str | None, checked(catalogue.check_token)] = Field(
        None, max_length=600, description="`next` of the previous page."
    )

    @property
    def search(self) -> Search:
        """These parameters as a `Search`. Raises `Invalid`."""
        return Search(_names(self.ids), self.box, self.between, _place(self.intersects))


CatalogueQuery = Annotated[OfCatalogue, Query()]


@router.get("")
def get_stac(address: Address) -> documents.LandingPage:
    """The root of the catalogue."""
    return documents.LandingPage.of(address)


@router.get("/conformance")
def get_stac_conformance() -> documents.Conformance:
    """What the catalogue conforms to."""
    return documents.Conformance()


@router.get("/collections")
def list_collections(session: Reading, address: Address) -> documents.StacCollections:
    """List the collections."""
    return documents.StacCollections.of((_collection(session, name, address) for name in COLLECTIONS), address)


@router.get("/collections/{id}", responses=problems(404))
def get_collection(session: Reading, id_: Id, address: Address) -> documents.StacCollection:
    """Read one collection: scenes, predictions, surveys or models."""
    return _collection(session, _known(id_), address)


@router.get("/collections/{id}/items", response_class=GeoJson, responses=answer(200, NEXT) | problems(404))
def list_collection_items(
    session: Reading, request: Request, response: Response, id_: Id, query: CatalogueQuery, address: Address
) -> documents.FoundItems:
    """List the Items of a collection, newest first."""
    names = {_known(id_)} & set(_names(query.collections) or COLLECTIONS)  # pystac-client names the collection again
    found = catalogue.search(session, tuple(names), query.search, limit=query.limit, token=query.token)
    links = _links(address, link_next(request, response, found.next))
    return documents.FoundItems.of(_items(session, found.rows, address), found.next, links)


@router.get("/collections/{id}/items/{item}", response_class=GeoJson, responses=problems(404))
def get_collection_item(
    session: Reading, id_: Id, item: Annotated[str, Path(max_length=200)], address: Address
) -> StacItem:
    """Read one Item, which is the document of the scene or the prediction itself, or describes a model version."""
    if ID.fullmatch(item):
        for document in _items(session, [COLLECTIONS[_known(id_)].get(session, item)], address):
            if document.id == item:  # a model without a version is no item
                return document
    raise NotFound("item", item if item.isprintable() else "?")


@router.get("/search", response_class=GeoJson, responses=answer(200, NEXT))
def search_items(
    session: Reading, request: Request, response: Response, query: CatalogueQuery, address: Address
) -> documents.FoundItems:
    """Search in all collections."""
    names = _names(query.collections) or tuple(COLLECTIONS)
    found = catalogue.search(session, names, query.search, limit=query.limit, token=query.token)
    links = _links(address, link_next(request, response, found.next))
    return documents.FoundItems.of(_items(session, found.rows, address), found.next, links)


@router.post("/search", response_class=GeoJson, responses=problems(*IN_BODIES))
def post_search(session: Reading, body: StacSearch, address: Address) -> documents.FoundItems:
    """Search in all collections, with a body of JSON. This changes nothing."""
    wanted = Search(
        ids=body.ids,
        bbox=None if body.bbox is None else read_box(body.bbox, "/bbox"),
        between=read_interval(body.interval or "", "/datetime"),
        intersects=None if body.intersects is None else _geometry(body.intersects, "/intersects"),
    )
    names = tuple(COLLECTIONS) if body.collections is None else body.collections
    found = catalogue.search(session, names, wanted, limit=body.limit, token=body.token)
    links = _links_with_body(body, address, found.next)
    return documents.FoundItems.of(_items(session, found.rows, address), found.next, links)


def _known(name: str) -> str:
    if name not in COLLECTIONS:
        raise NotFound("collection", name)
    return name


def _collection(session: Session, name: str, address: str) -> documents.StacCollection:
    return documents.StacCollection.of(name, COLLECTIONS[name].extent(session), address)


def _items(session: Session, rows: Sequence[catalogue.Row], address: str) -> Iterator[StacItem]:
    """The documents of rows, in their order."""
    maps = items_of(session, [row for row in rows if isinstance(row, Prediction)], address)
    of_id = {item.id: item for item in maps}
    grounds = training_ground.grounds(session, [row for row in rows if isinstance(row, ModelVersion)])
    for row in rows:
        if isinstance(row, Scene):
            yield documents.Scene.of(row, address)
        elif isinstance(row, Survey):
            classes = surveys.classes_of(session, row)
            yield documents.SurveyItem.of(row, surveys.covered(session, row.id), classes, address)
        elif isinstance(row, ModelVersion):
            yield documents.ModelItem.of(row, grounds.get(row.dataset or ""), address)
        elif row.id in of_id:
            yield of_id[row.id]


def _links(address: str, following: str | None) -> Iterator[SearchLink]:
    yield from _above(address)
    if following:
        yield SearchLink(href=following, rel="next", type=GEOJSON, method="GET")


def _links_with_body(body: StacSearch, address: str, token: str | None) -> Iterator[SearchLink]:
    yield from _above(address)
    if token:
        again: dict[str, Any] = body.model_dump(mode="json", by_alias=True, exclude_none=True) | {"token": token}
        yield SearchLink(href=f"{address}/v1/stac/search", rel="next", type=GEOJSON, method="POST", body=again)


def _above(address: str) -> Iterator[SearchLink]:
    yield SearchLink(href=f"{address}/v1/stac", rel="root", type="application/json")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _place(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return _geometry(json.loads(text), "query:intersects")
    except (ValueError, RecursionError) as error:
        raise invalid("invalid-geometry", "intersects is not JSON.", _GEOMETRY, "query:intersects") from error


_GEOMETRY = "Write a geometry of GeoJSON in degrees, for instance a Polygon."


def _geometry(geojson: dict[str, Any], pointer: str) -> Any:
    try:
        return catalogue.read_geometry(geojson)
    except ValueError as error:
        raise invalid("invalid-geometry", str(error), _GEOMETRY, pointer) from error
