"""Our readers and GDAL's see the same in a file; where they do not, we refuse it, or the report says why."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import InputRefused
from ml.labels.features import FeatureLayer
from ml.labels.read import read_layer
from tests.ml.labels.layers import Item, geojson, geopackage, square, zipped_shapefile
from tests.ml.labels.oracle import Answer, Oracle
from tests.ml.labels.raw_files import Column, blob, dbf, gpkg, ring, shape, shapefile_of, shp_and_shx, wkb, zipped

# Notes that say why GDAL sees something else, and in what
TEXT = {"attributes", "crs"}  # a GeoPackage has the CRS as text
EXPLAINED = {
    "guessed_encoding": TEXT,  # it takes the text for Latin-1
    "undecodable_text": TEXT,  # it gives up, or drops what it cannot decode
    "unreadable_values": {"attributes"},  # it takes of a damaged number as much as it understands
    "unread_attributes": {"attributes"},  # it takes lists for text, and the position of a memo for the memo
    "ring_order": {"geometry"},  # it asks where a ring turns, not on which side its area lies
}
GIVES_UP = ("Unicode", "year", "month", "day is out of range")  # in errors of pyogrio on such texts and dates
# Errors of GDAL and pyogrio that say nothing about what we read: a CRS that they cannot write, columns we do not need
NO_ANSWER = ("UnboundLocalError", "proj_as_wkt", "sqlite3_get_table")
Write = Callable[[Path], Path]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle() as process:
        yield process


def answer_of(oracle: Oracle, path: Path) -> Answer:
    """What GDAL sees. It is told the kind of the file by its suffix, and which .shp of a zip to open."""
    if zipfile.is_zipfile(path):
        named = path.rename(path.with_suffix(".zip"))
        shp = next(name for name in zipfile.ZipFile(named).namelist() if name.lower().endswith(".shp"))
        answer = oracle.ask(path=f"/vsizip/{named}/{shp}", layer=None)
    else:
        suffix = ".gpkg" if path.read_bytes().startswith(b"SQLite") else ".geojson"
        named = path.rename(path.with_suffix(suffix))
        answer = oracle.ask(path=str(named), layer=None)
    named.rename(path)
    return answer


def geometry(wkb: str | None) -> Polygon | MultiPolygon | None:
    found = shapely.from_wkb(bytes.fromhex(wkb)) if wkb else None
    return None if found is None or found.is_empty else found


def parts(found: Polygon | MultiPolygon) -> bytes:
    """The polygons of a geometry in two dimensions, in a fixed order, as WKB: one polygon is a multipolygon of one."""
    polygons = MultiPolygon(list(shapely.get_parts(shapely.force_2d(found))))
    return bytes(shapely.to_wkb(polygons.normalize()))


def plain(value: object) -> object:
    """A value as both readers have it: dates as text, and all numbers as real ones, which can be missing."""
    if isinstance(value, bool | int | float):
        return float(value)
    return value.replace("/", "-").removesuffix("T00:00:00") if isinstance(value, str) else value


def differences(layer: FeatureLayer, answer: Answer) -> set[str]:
    """In what our reader and GDAL differ."""
    if "error" in answer:
        return {answer["error"]}
    theirs = [geometry(each) for each in answer["wkb"]]
    kept = [number for number, each in enumerate(theirs) if each is not None]
    if (len(layer.features), layer.without_geometry) != (len(kept), len(theirs) - len(kept)):
        return {"count"}
    same = {
        "geometry": [parts(each.geometry) for each in layer.features] == [parts(each) for each in theirs if each],
        "crs": same_crs(layer.crs, answer["crs"]),
        "attributes": {name: [plain(each.properties.get(name)) for each in layer.features] for name in names(layer)}
        == {name: [plain(values[number]) for number in kept] for name, values in answer["columns"].items()},
    }
    return {what for what, is_same in same.items() if not is_same}


def same_crs(crs: pyproj.CRS | None, theirs: str | None) -> bool:
    if crs is None or not theirs:
        return crs is None and not theirs
    flat = "OGC:CRS84" if theirs == "EPSG:4979" else theirs  # what GDAL calls GeoJSON with heights
    return pyproj.CRS(flat).equals(crs, ignore_axis_order=True)


def names(layer: FeatureLayer) -> dict[str, None]:
    return dict.fromkeys(name for feature in layer.features for name in feature.properties)


def unexplained(layer: FeatureLayer, answer: Answer) -> set[str]:
    """In what the readers differ without a note that says why."""
    explained = set[str]().union(*(EXPLAINED.get(note.code, set()) for note in layer.notes))
    if layer.encoding is not None and layer.encoding.found_by == "text":
        explained |= TEXT
    differing = differences(layer, answer) - explained
    return {it for it in differing if not (explained and any(word in it for word in GIVES_UP))}


CROP: Column = (b"crop", "C", 12)
HOLE = ring(500_020, 1_199_980, 20, clockwise=False)
TEXTS = {
    "utf-8": "甘蔗Zuckerrübe",
    "gbk": "甘蔗镕",
    "big5": "甘蔗",
    "euc_kr": "사탕수수",
    "cp932": "サトウキビ",
    "cp1252": "Zuckerrübe",
    "cp1251": "тростник",
    "cp874": "อ้อย",
    "cp866": "тростник",
    "iso8859-2": "trzcina ł",
}
CPGS = {"utf-8": "UTF-8", "gbk": "GBK", "big5": "Big5", "euc_kr": "949", "cp932": "932", "cp1252": "1252"} | {
    "cp1251": "ANSI 1251",
    "cp874": "874",
    "cp866": "866",
    "iso8859-2": "ISO-8859-2",
}
LANGUAGE_IDS = {"gbk": 0x4D, "big5": 0x4F, "euc_kr": 0x4E, "cp932": 0x13, "cp1252": 0x03, "cp1251": 0xC9, "cp874": 0x50}


def raw(records: list[bytes], table: bytes, **others: bytes) -> Write:
    return lambda folder: zipped(folder / "x", shapefile_of(records, table, **others))


def written_in(encoding: str, **more: Any) -> Write:
    """A Shapefile with a name and a text in an encoding, and a second row without a text."""
    text = TEXTS[encoding]
    table = dbf([(text[:2].encode(encoding), "C", 40)], [[text.encode(encoding)], [b""]], language_id=more.pop("id", 0))
    return raw([shape(ring()), shape(ring(500_200))], table, **more)


def every_type() -> Write:
    columns: list[Column] = [
        CROP,
        (b"whole", "N", 9),
        (b"long", "N", 15),
        (b"real", "F", 20),
        (b"yes", "L", 1),
        (b"day", "D", 8),
    ]
    rows = [
        [b"cane", b"       12", b"  123456789012", b"2.50000e-003", b"T", b"20240229"],
        [b"  two  w ", b"-7", b"", b"*" * 20, b"n", b"19991231"],
        [b"", b"", b"0", b"", b"?", b""],
    ]
    return raw([shape(ring(500_000 + 200 * number)) for number in range(3)], dbf(columns, rows))


def wide() -> Write:
    columns: list[Column] = [(f"c{number}".encode(), "C", 3) for number in range(255)]
    return raw([shape(ring())], dbf(columns, [[str(number).encode() for number in range(255)]]))


def rearranged(folder: Path) -> Path:
    shp, shx = shp_and_shx([shape(ring()), shape(ring(500_200))], gap=bytes(20), backwards=True)
    return raw([], dbf([CROP], [[b"a"], [b"b"]]), shp=shp, shx=shx)(folder)


def in_geopackage(rows: list[Any], **options: Any) -> Write:
    return lambda folder: gpkg(folder / "x", rows, **options)


def in_geojson(*features: Any, **members: Any) -> Write:
    document = {"type": "FeatureCollection", "features": [{"type": "Feature", **each} for each in features]} | members
    return lambda folder: _put(folder / "x", json.dumps(document, ensure_ascii=False).encode())


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


ITEMS: list[Item] = [
    (square(0, 0, 40).difference(square(5, 5)), {"class": "甘蔗", "name": "ü"}),
    (square(60, 0), {"class": "other", "name": None}),
]
MANY: list[Item] = [(MultiPolygon([square(0, 0).difference(square(2, 2, 3)), square(60, 0)]), {"class": "甘蔗"})]
PLOT = {"type": "Polygon", "coordinates": [[[105, 10], [105.1, 10], [105.1, 10.1], [105, 10]]]}
HIGH = {"type": "MultiPolygon", "coordinates": [[[[105, 10, 7], [105.1, 10, 7], [105.1, 10.1, 7], [105, 10, 7]]]]}
CRS = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4490"}}
WKBS = [wkb([[ring(), HOLE]], order=order, z=z, m=m) for order in "<>" for z in (False, True) for m in (False, True)]
FILES: dict[str, Write] = {
    **{f"cpg {name}": written_in(name, cpg=CPGS[name].encode()) for name in TEXTS},
    **{f"language id {name}": written_in(name, id=LANGUAGE_IDS[name]) for name in LANGUAGE_IDS},
    **{f"no encoding {name}": written_in(name) for name in TEXTS},
    "types": every_type(),
    "wide": wide(),
    "rearranged": rearranged,
    "deleted": raw(
        [shape(ring(500_000 + 200 * n)) for n in range(3)], dbf([CROP], [[b"a"], [b"b"], [b"c"]], deleted=[1])
    ),
    "heights": raw([shape(ring(), HOLE, kind=15), shape(ring(500_200), kind=15)], dbf([CROP], [[b"a"], [b"b"]])),
    "measures": raw([shape(ring(), HOLE, kind=25)], dbf([CROP], [[b"a"]])),
    "parts": raw([shape(ring(), HOLE, ring(500_200)), shape(), shape(ring())], dbf([CROP], [[b"a"], [b"b"], [b"c"]])),
    "wrong way": raw(
        [shape(HOLE[::-1], ring(clockwise=False)), shape(ring(clockwise=False))], dbf([CROP], [[b"a"], [b"b"]])
    ),
    "memo": raw([shape(ring())], dbf([CROP, (b"more", "M", 10)], [[b"a", b"         1"]])),
    "cut": raw([shape(ring())], dbf([(b"crop", "C", 4)], [["甘蔗".encode()]]), cpg=b"UTF-8"),
    "pyshp": lambda folder: zipped_shapefile(folder / "x", ITEMS, encoding="gbk", cpg="GBK"),
    "pyshp parts": lambda folder: zipped_shapefile(folder / "x", MANY, cpg="UTF-8"),
    "fudgeo": lambda folder: geopackage(folder / "x", ITEMS),
    "wkb": in_geopackage([(number, blob(each), "甘蔗") for number, each in enumerate(WKBS)]),
    "no geometry": in_geopackage(
        [(1, None, "a"), (2, blob(wkb([[ring()], [ring(500_200)]])), None), (3, blob(wkb([[]]), flags=0x11), "")]
    ),
    "columns": in_geopackage(
        [(1, blob(wkb([[ring()]])), "甘蔗", 7, 2.5, True, "2024-02-29")],
        columns='fid INTEGER PRIMARY KEY, geom BLOB, "作""物" TEXT, whole MEDIUMINT, real DOUBLE, yes BOOLEAN, d DATE',
        table="甘蔗 地",
    ),
    "key": in_geopackage([("k", blob(wkb([[ring()]])), "a")], columns="code TEXT PRIMARY KEY, geom BLOB, crop TEXT"),
    "json": lambda folder: geojson(folder / "x", ITEMS),
    "json parts": lambda folder: geojson(folder / "x", MANY, crs="EPSG:32648"),
    "json crs": in_geojson({"geometry": PLOT, "properties": {"crop": "甘蔗"}}, crs=CRS),
    "json types": in_geojson(
        {"geometry": PLOT, "id": 7, "properties": {"a": 1, "b": 1.0, "c": True, "d": "甘", "e": None, "f": 2**40}},
        {"geometry": HIGH, "id": 9, "properties": {"a": 2, "b": 2.5, "c": False, "d": "", "e": None, "f": 7}},
    ),
    "json lists": in_geojson({"geometry": PLOT, "properties": {"crop": "a", "more": [1, 2], "object": {"a": 1}}}),
    "json empty": in_geojson(
        {"geometry": PLOT, "properties": {"crop": "a"}},
        {"geometry": None, "properties": {"crop": "b"}},
        {"geometry": {"type": "Polygon", "coordinates": []}, "properties": {"crop": "c"}},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_both_readers_see_the_same_in_a_file(tmp_path: Path, oracle: Oracle, name: str) -> None:
    path = FILES[name](tmp_path)
    layer = read_layer(path)
    assert unexplained(layer, answer_of(oracle, path)) == set()


DRIVERS: Mapping[str, tuple[str, str]] = {
    "ESRI Shapefile": ("x.shp", "utf-8"),
    "ESRI Shapefile, GBK": ("x.shp", "gbk"),
    "GPKG": ("x.gpkg", ""),
    "GeoJSON": ("x.geojson", ""),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("seed", range(3))
def test_our_reader_sees_what_gdal_wrote(tmp_path: Path, oracle: Oracle, driver: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    file, encoding = DRIVERS[driver]
    degrees = driver == "GeoJSON"
    found = [_random_polygons(rng, degrees=degrees) for _ in range(20)]
    number = len(found)
    columns = {
        "crop": [str(text) for text in rng.choice(["甘蔗", "水稻", "other", ""], number)],
        "whole": rng.integers(-1000, 1000, number).tolist(),
        "real": rng.normal(size=number).tolist(),
        "yes": rng.integers(0, 2, number).astype(bool).tolist(),
        "day": [f"20{year:02}-0{month}-1{month}" for year, month in rng.integers(1, 10, (number, 2))],
    }
    kinds = {"whole": "int32", "real": "float64", "yes": "bool", "day": "datetime64[D]"}
    options = {"encoding": encoding} if encoding else {}
    kind = "MultiPolygon" if driver != "GeoJSON" else "Unknown"
    written = oracle.ask(
        path=str(tmp_path / file),
        driver=driver.split(",")[0],
        wkb=[each.wkb_hex for each in found],
        columns=columns,
        crs="EPSG:4326" if degrees else "EPSG:32648",
        geometry_type=kind,
        kinds=kinds,
        promote_to_multi=not degrees,
        **options,
    )
    assert written == {}
    path = tmp_path / file
    if encoding:
        path = zipped(tmp_path / "z", {each.name: each.read_bytes() for each in tmp_path.iterdir()})
    layer = read_layer(path)
    assert len(layer.features) == number and layer.notes == ()
    assert unexplained(layer, answer_of(oracle, path)) == set()


def _random_polygons(rng: np.random.Generator, *, degrees: bool) -> Polygon | MultiPolygon:
    """One to three polygons with a hole or none, apart from each other."""
    polygons = []
    for place in range(rng.integers(1, 4)):
        corners = int(rng.integers(3, 12))
        angles = (np.arange(corners) + 0.3 * rng.random(corners)) / corners * 2 * np.pi
        circle = np.column_stack([np.cos(angles), np.sin(angles)])
        centre = (105 + 0.01 * place, 10) if degrees else (500_000 + 1000 * place, 1_200_000)
        scale = 0.001 if degrees else 100
        holes = [centre + 0.1 * scale * circle] if rng.random() < 0.5 else []
        polygons.append(Polygon(centre + scale * circle, holes))
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with some of them changed, left out, or doubled."""
    kind, at = rng.integers(8), int(rng.integers(len(content)))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at + int(rng.integers(1, 40)) :]
    if kind == 2:
        return content[: at + 16] + content[at:]
    changed = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 4)):
        changed[place] = rng.integers(256) if kind < 6 else changed[place] ^ 1 << int(rng.integers(8))
    return bytes(changed)


def misspelt(content: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of GeoJSON with one letter or digit changed into another of its kind, so that it is JSON still.

    A feature that lacks its type is a feature for us; GDAL leaves it out. So types of features are kept.
    """
    signs = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if rng.random() < 0.3 else b"0123456789"
    kept = {place for match in re.finditer(rb'"type": "Feature"', content) for place in range(*match.span())}
    places = [place for place, sign in enumerate(content) if sign in signs and place not in kept]
    changed = bytearray(content)
    changed[rng.choice(places)] = rng.choice(list(signs))
    return bytes(changed)


IN_ZIP = ("types", "cpg gbk", "language id big5", "parts", "heights", "deleted", "wrong way")
WHOLE = {"wkb": mutated, "columns": mutated, "json types": misspelt, "json crs": misspelt, "json parts": misspelt}


@pytest.mark.parametrize("name", IN_ZIP)
def test_both_see_the_same_in_a_damaged_shapefile_that_is_read(tmp_path: Path, oracle: Oracle, name: str) -> None:
    path, rng = FILES[name](tmp_path), np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        files = {file: archive.read(file) for file in archive.namelist()}

    def damage(trial: int) -> None:
        victim = list(files)[trial % len(files)]
        zipped(path, files | {victim: mutated(files[victim], rng)})

    assert read_alike(path, oracle, damage, trials=25) > 5


@pytest.mark.parametrize("name", WHOLE)
def test_both_see_the_same_in_another_damaged_file_that_is_read(tmp_path: Path, oracle: Oracle, name: str) -> None:
    path, rng = FILES[name](tmp_path), np.random.default_rng(0)
    whole = path.read_bytes()
    assert read_alike(path, oracle, lambda trial: _put(path, WHOLE[name](whole, rng)), trials=25) > 5


def read_alike(path: Path, oracle: Oracle, damage: Callable[[int], object], *, trials: int) -> int:
    """Damage a file again and again; assert that what we read of it GDAL reads alike. Return how often we read it."""
    read = 0
    for trial in range(trials):
        damage(trial)
        try:
            layer = read_layer(path)
        except InputRefused:
            continue
        answer = answer_of(oracle, path)
        if answer.get("crs") == "" or any(word in answer.get("error", "") for word in NO_ANSWER):
            continue
        read += 1
        assert unexplained(layer, answer) == set(), f"trial {trial}"
    return read
