"""Whether STAC documents are what pystac, the reference library, takes for valid. No test asks another host.

pystac brings the schemas of STAC itself. Of the extensions it brings readers, so each extension that a document names
must have one here: a new extension without a reader fails, and is not left out in silence.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pystac
from pystac import STACObjectType
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

Json = dict[str, Any]
KINDS = {
    "Feature": STACObjectType.ITEM,
    "Collection": STACObjectType.COLLECTION,
    "Catalog": STACObjectType.CATALOG,
}
PREFIXES = {
    "proj": "projection",
    "file": "file",
    "raster": "raster",
    "classification": "classification",
    "mlm": "mlm",
}
VALIDATOR = JsonSchemaSTACValidator()


def check(document: Json) -> None:
    """Fail if `document` is not a valid Item, Collection or Catalog."""
    VALIDATOR.validate_core(document, KINDS[document["type"]], "1.1.0")
    for link in document["links"]:
        assert link["href"].startswith(("http://", "https://")), link
    if document["type"] == "Feature":
        item = pystac.Item.from_dict(document, migrate=False)
        declared = {uri.split("/")[3] for uri in document["stac_extensions"]}
        assert {PREFIXES[prefix] for prefix in _prefixes(document)} <= declared
        for name in declared:
            READERS[name](item)
        for name, asset in item.assets.items():
            assert asset.href.startswith(("http://", "https://")), name


def _prefixes(value: Any) -> Iterator[str]:
    """The prefixes of all keys: "proj" of "proj:code"."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from (key.partition(":")[0],) if ":" in key else ()
            yield from _prefixes(each) if key not in ("mlm:output", "job") else ()
    elif isinstance(value, list):
        for each in value:
            yield from _prefixes(each)


def _projection(item: pystac.Item) -> None:
    readers: list[Any] = [ProjectionExtension.ext(asset) for asset in item.assets.values()]
    for read in (ProjectionExtension.ext(item), *readers):
        assert read.shape is None or (len(read.shape), len(read.transform or ())) == (2, 6)
        assert read.code is None or read.code.partition(":")[2]


def _file(item: pystac.Item) -> None:
    stored = [read for asset in item.assets.values() if (read := FileExtension.ext(asset)).size is not None]
    assert stored  # what is made when it is asked for, like ONNX, has no size before
    assert all(read.size and read.checksum and len(read.checksum) == 68 for read in stored)


def _raster(item: pystac.Item) -> None:
    bands = [band for asset in item.assets.values() for band in asset.extra_fields.get("bands", ())]
    assert any(isinstance(band.get("raster:scale"), float) for band in bands)


def _classification(item: pystac.Item) -> None:
    (asset,) = (asset for name, asset in item.assets.items() if name in ("classes.tif", "mosaic.tif"))
    (band,) = asset.extra_fields["bands"]
    asset.extra_fields |= {name: value for name, value in band.items() if name.startswith("classification:")}
    for entry in ClassificationExtension.ext(asset).classes or ():
        assert entry.name and entry.color_hint and entry.title == entry.description
        entry.color_hint = entry.color_hint  # the setter checks its form


def _web_map_links(item: pystac.Item) -> None:
    assert {"xyz", "tilejson"} <= {link.rel for link in item.links}


def _mlm(item: pystac.Item) -> None:
    read = MLMExtension.ext(item)
    assert read.name and read.architecture and read.tasks
    assert [each.to_dict() for each in read.input] == item.properties["mlm:input"]
    assert [each.to_dict() for each in read.output] == item.properties["mlm:output"]
    assert any("mlm:model" in (asset.roles or ()) for asset in item.assets.values())


READERS: dict[str, Callable[[pystac.Item], None]] = {
    "projection": _projection,
    "file": _file,
    "raster": _raster,
    "classification": _classification,
    "web-map-links": _web_map_links,
    "mlm": _mlm,
}
