import subprocess
import sys

SCRIPT = """
import logging
logging.basicConfig(level="WARNING")
import ml.geo, rasterio
with rasterio.Env() as env:
    print(*sorted(env.drivers()))
"""


def test_only_geotiff_and_memory_drivers_are_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["COG", "GTiff", "MEM", "Memory"]
    assert done.stderr == ""
