"""Every hostile or odd file of ../shared against the answer that its manifest expects."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ml.contract import Contract
from ml.faults import InputRefused
from ml.geo.fits import contract_faults
from ml.geo.scene import inspect_scene

SHARED = Path(__file__).resolve().parents[4] / "shared"
MANIFEST = SHARED / "faults" / "manifest.json"
EXPECTED: dict[str, dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
RASTERS = {name: entry["code"] for name, entry in EXPECTED.items() if entry["kind"] == "raster"}
AWKWARD = sorted(path.name for path in (SHARED / "data" / "awkward-geotiffs").glob("*.tif"))
OF_USE = {"wrong_bands", "bad_resolution"}  # a scene is accepted, but does not fit the model
SECONDS = 5
CONTRACT = Contract(bands=("blue", "green", "red", "nir", "swir"), dtype="uint16", gsd=10.0, nodata=None, statistics=())


def answer(path: Path) -> list[str]:
    """The codes with which a scene is refused, or does not fit a model for five bands of 10 m."""
    try:
        info = inspect_scene(path)
    except InputRefused as refused:
        assert all(fault.detail and fault.hint for fault in refused.faults)
        assert str(path.parent) not in str(refused)
        return [fault.code for fault in refused.faults]
    json.loads(info.model_dump_json())
    return [fault.code for fault in contract_faults(info, CONTRACT)]


@pytest.mark.parametrize("name", RASTERS)
def test_a_faulty_raster_gets_the_right_answer(shared: Path, name: str) -> None:
    started = time.monotonic()
    codes = answer(shared / "faults" / "files" / name)
    assert time.monotonic() - started < SECONDS
    if RASTERS[name] == "ok":
        assert set(codes) <= OF_USE | {"wrong_dtype"}
    else:
        assert RASTERS[name] in codes


@pytest.mark.parametrize("name", AWKWARD)
def test_an_odd_raster_of_the_real_world_is_read_or_refused_clearly(shared: Path, name: str) -> None:
    started = time.monotonic()
    answer(shared / "data" / "awkward-geotiffs" / name)
    assert time.monotonic() - started < SECONDS
