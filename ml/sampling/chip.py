"""The picture of a point for labellers: the scene around it, near and wide, with the pixel marked."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.geo.grid import Grid
from ml.products.scene_picture import Place
from ml.products.web_grid import world

SIDE_PX = 360  # of each of the two pictures
GAP_PX = 8
NEAR, WIDE = 8.0, 1.0  # pixels of the picture for a pixel of the map
_GROUND = (90, 90, 90)  # where the scene shows nothing
_MARK, _EDGE = (255, 235, 0), (0, 0, 0)

Corners = NDArray[np.float64]


def corners_of(grid: Grid, row: int, col: int) -> Corners:
    """The corners of a pixel in the square world of web maps, in order, shape (4, 2)."""
    x, y = grid.xy(np.array([col, col + 1, col + 1, col]), np.array([row, row, row + 1, row + 1]))
    lonlat = np.column_stack(grid.operation.transformer.transform(x, y))
    return np.column_stack(world(lonlat))


def places(corners: Corners) -> tuple[Place, Place]:
    """Where the near and the wide picture of a pixel with these corners lie, both with the pixel in their middle."""
    side = float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).mean())
    return _around(corners, side / NEAR), _around(corners, side / WIDE)


def _around(corners: Corners, side: float) -> Place:
    west, north = corners.mean(axis=0) - side * SIDE_PX / 2
    return Place(west=float(west), north=float(north), side=side, rows=SIDE_PX, cols=SIDE_PX)


def chip(near: bytes, wide: bytes, corners: Corners) -> bytes:
    """Both pictures side by side as a PNG: the pixel is outlined in the near one, and what that shows in the wide one.

    near, wide: PNG of the scene at `places(corners)`.
    """
    close, far = places(corners)
    frame = np.array([[close.west, close.north]] + [[0.0, 0.0]] * 3)
    width = close.side * SIDE_PX
    frame = frame[0] + width * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    whole = Image.new("RGB", (2 * SIDE_PX + GAP_PX, SIDE_PX), (255, 255, 255))
    whole.paste(_outlined(near, corners, close), (0, 0))
    whole.paste(_outlined(wide, frame, far), (SIDE_PX + GAP_PX, 0))
    target = io.BytesIO()
    whole.save(target, "PNG")
    return target.getvalue()


def _outlined(png: bytes, corners: Corners, place: Place) -> Image.Image:
    """A picture on grey ground with a polygon drawn around these corners."""
    picture = Image.new("RGB", (place.cols, place.rows), _GROUND)
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    picture.paste(drawn, mask=drawn)
    middle = corners.mean(axis=0)
    at = (corners - (place.west, place.north)) / place.side
    outwards = np.sign(corners - middle)
    draw = ImageDraw.Draw(picture)
    for beyond, colour in ((3, _EDGE), (1, _MARK), (2, _MARK)):  # outside of the pixel, which stays visible
        draw.polygon([tuple(each) for each in (at + beyond * outwards).tolist()], outline=colour)
    return picture
