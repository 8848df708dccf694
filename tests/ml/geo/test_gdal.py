import subprocess
import sys

SCRIPT = """
import logging
logging.basicConfig(level="WARNING")
import ml.geo, rasterio
with rasterio.Env() as env:
    print(*sorted(env.drivers()))
"""


def test_only_the_geotiff_drivers_are_alive() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["COG", "GTiff", "MEM", "Memory"]
    assert run.stderr == ""
