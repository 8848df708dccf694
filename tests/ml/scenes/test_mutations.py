"""Inspects randomly damaged GeoTIFFs: each is either described or refused, and no other error occurs."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from ml.faults import InputRefused
from ml.scenes.inspect import inspect_scene
from tests.ml.conftest import GRID

KINDS: list[dict[str, Any]] = [
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 2},
    {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "lzw", "interleave": "band"},
    {"blockysize": 3, "compress": "zstd", "bigtiff": "yes", "endianness": "big"},
    {"compress": "none", "nodata": 0},
]
ODD = [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a copy of `content` with some numbers replaced, mostly in the directory, and possibly truncated."""
    directory = int.from_bytes(content[4:8], "little") if content[:4] == b"II*\0" else 16
    near = st.integers(0, min(600, len(content) - 5)).map(lambda offset: (directory + offset) % (len(content) - 4))
    places = near | st.integers(0, len(content) - 5)
    numbers = st.sampled_from(ODD) | st.integers(0, 2**32 - 1)
    damaged = bytearray(content)
    for place, number, width in draw(st.lists(st.tuples(places, numbers, st.sampled_from("BHI")), max_size=6)):
        struct.pack_into(f"<{width}", damaged, place, number & (256 ** struct.calcsize(width) - 1))
    return bytes(damaged[: draw(st.none() | st.integers(0, len(content)))])


def scene(**profile: object) -> bytes:
    """Return the bytes of a GeoTIFF with 4 bands and 40 x 50 pixels."""
    image = np.random.default_rng(0).integers(1, 3000, (4, 40, 50), dtype=np.uint16)
    shape = {"count": 4, "height": 40, "width": 50, "dtype": "uint16"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", crs="EPSG:32648", transform=GRID, **shape, **profile) as out:
            out.write(image)
        return bytes(memory.getbuffer())


@pytest.mark.parametrize("content", [scene(**kind) for kind in KINDS], ids=[kind["compress"] for kind in KINDS])
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_a_damaged_scene_is_refused_or_read(content: bytes, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(data.draw(damages(content)))
    try:
        info = inspect_scene(path)
    except InputRefused as refused:
        assert all(fault.detail and fault.hint for fault in refused.faults)
        return
    assert info.rows > 0
    assert info.cols > 0
    assert info.bands
