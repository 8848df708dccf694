import os
import subprocess
import sys

import pytest

SCRIPT = """
import logging
logging.basicConfig(level="WARNING")
import sys, ml.geo, rasterio
with rasterio.Env() as env:
    print(*sorted(env.drivers()))
assert "boto3" not in sys.modules
import boto3
"""
FROM_A_THREAD = """
import ml, threading, rasterio
def show():
    with rasterio.Env() as env:
        print(*sorted(env.drivers()))
thread = threading.Thread(target=show)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("script", [SCRIPT, FROM_A_THREAD], ids=["at the start", "later, in a thread"])
@pytest.mark.parametrize("skipped", ["", "GTiff", "VRT"])
def test_only_geotiff_and_memory_drivers_are_loaded(script: str, skipped: str) -> None:
    environment = os.environ | {"GDAL_SKIP": skipped}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert {"COG", "GTiff", "MEM"} <= set(done.stdout.split()) <= {"COG", "GTiff", "MEM", "Memory"}
    assert done.stderr == ""
