"""Draws tiles with titiler.core and with rio-tiler, and tells how long each took.

    python benchmarks/peers/titiler_tiles.py COG LOW,HIGH LOW,HIGH LOW,HIGH

Each line of the standard input is "zoom col row"; each line of the output has the seconds of titiler.core and those of
rio-tiler. It is a process of its own, because canemap removes drivers of GDAL that both need.
"""

import asyncio
import sys
import time
from urllib.parse import quote

from fastapi import FastAPI
from rio_tiler.io import Reader  # type: ignore[import-not-found]
from titiler.core.factory import TilerFactory  # type: ignore[import-not-found]

from benchmarks.asgi import getter

BANDS = (3, 2, 1)


def rio_tiler(cog: str, ranges: list[tuple[float, float]], tile: tuple[int, int, int]) -> int:
    """The number of bytes of a tile, as PNG, by rio-tiler alone."""
    zoom, col, row = tile
    with Reader(cog) as reader:
        image = reader.tile(col, row, zoom, indexes=BANDS)
        image.rescale(ranges)
        return len(image.render(img_format="PNG"))


async def main(cog: str, *given: str) -> None:
    """Draw the tiles of the standard input."""
    ranges = [(float(low), float(high)) for low, high in (text.split(",") for text in given)]
    app = FastAPI()
    app.include_router(TilerFactory().router)
    query = "&".join([f"url={quote(cog)}", *(f"bidx={band}" for band in BANDS), *(f"rescale={text}" for text in given)])
    titiler = getter(app, "/tiles/WebMercatorQuad/{z}/{x}/{y}.png", query)
    for line in sys.stdin:
        zoom, col, row = map(int, line.split())
        times = [time.perf_counter()]
        await titiler((zoom, col, row))
        times.append(time.perf_counter())
        rio_tiler(cog, ranges, (zoom, col, row))
        times.append(time.perf_counter())
        print(times[1] - times[0], times[2] - times[1], flush=True)


asyncio.run(main(*sys.argv[1:]))
