"""Mutations of GeoJSON: of the tree of its values, and of its text."""

import json
from random import Random
from typing import Any

from benchmarks.fuzzing.blobs import mutate_bytes

_DEEP = 4000
_TEXTS = (
    "",
    "Polygon",
    "MultiPolygon",
    "Point",
    "GeometryCollection",
    "\0",
    "\ud800",
    "甘蔗",
    "*",
    "255",
    "A" * 70_000,
)
_RAW = (  # texts that json.dumps would not write
    "NaN",
    "-Infinity",
    "1e400",
    "-0.0",
    "1" * 5000,
    "0.1e-999",
    "[" * _DEEP + "]" * _DEEP,
    '{"a":' * _DEEP + "1" + "}" * _DEEP,
)
_CODES = (
    "EPSG:32648",
    "EPSG:4326",
    "urn:ogc:def:crs:OGC:1.3:CRS84",
    "EPSG:999999",
    "http://127.0.0.1:1/crs",
    "/etc/passwd",
)
_MARK = "@raw@"


def mutate_geojson(random: Random, parent: bytes) -> bytes:
    """Return a copy of `parent` with up to three values replaced, and sometimes other bytes around them."""
    try:
        document = json.loads(parent)
    except (ValueError, RecursionError):
        return mutate_bytes(random, parent)
    raw: list[str] = []
    for _ in range(random.randint(1, 3)):
        document = _replaced(random, document, raw)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    for value in raw:
        text = text.replace(f'"{_MARK}"', value, 1)
    return _bytes(random, text)


def _bytes(random: Random, text: str) -> bytes:
    if random.random() < 0.1:
        return text.encode(random.choice(("utf-16", "utf-8-sig", "utf-32", "gb18030")), "replace")
    data = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(random, data) if random.random() < 0.15 else data


def _replaced(random: Random, node: Any, raw: list[str]) -> Any:
    """Return `node` with one value in it replaced, found by a random walk down."""
    if isinstance(node, dict) and node and random.random() < 0.9:
        key = random.choice(list(node))
        if random.random() < 0.1:
            return {k: v for k, v in node.items() if k != key} | {random.choice(_TEXTS): node[key]}
        return node | {key: _replaced(random, node[key], raw)}
    if isinstance(node, list) and node and random.random() < 0.85:
        at = random.randrange(len(node))
        if random.random() < 0.15:
            return node[:at] + [node[at]] * random.choice((0, 2, 300)) + node[at + 1 :]
        return [*node[:at], _replaced(random, node[at], raw), *node[at + 1 :]]
    return _value(random, node, raw)


def _value(random: Random, old: Any, raw: list[str]) -> Any:
    if random.random() < 0.2:
        raw.append(random.choice(_RAW))
        return _MARK
    if isinstance(old, (int, float)) and random.random() < 0.7:
        return random.choice(
            (old * random.choice((0, -1, 1e10, 1e300)), old + random.choice((180, 360, 1e-9)), 10**300)
        )
    crs = {"type": "name", "properties": {"name": random.choice(_CODES)}}
    return random.choice((None, True, 0, [], {}, [old], {"a": old}, crs, random.choice(_TEXTS), old))
