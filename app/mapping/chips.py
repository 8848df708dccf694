"""Pictures of the points of samples, drawn when they are asked for, like those of scenes."""

from pathlib import Path

from affine import Affine

from app.core.errors import NotFound
from app.data import scenes
from app.mapping import predictions, samples, scene_tiles
from app.mapping.scene_tiles import Drawing
from app.services import Services
from ml.geo.crs import crs_from_wkt
from ml.geo.grid import Grid
from ml.sampling.chip import chip, corners_of, places
from ml.sampling.design import SamplePoint


def of_point(
    services: Services, id_: str, number: int, bands: str | None, stretch: str | None
) -> tuple[Drawing, SamplePoint]:
    """The scene of a point, and the point. bands, stretch: As for `scene_tiles.style_of`.

    Raises `NotFound`, `NotReady`, and `InputRefused` for wrong bands or a wrong stretch.
    """
    with services.database.read() as session:
        sample = samples.get(session, id_)
        _, points = samples.result(session, sample)
        scene = scenes.get(session, predictions.get(session, sample.prediction).scene)
    if not 1 <= number <= len(points):
        raise NotFound("point", str(number))
    drawing = Drawing(scene, scene_tiles.style_of(scene.info, bands, stretch))
    _ = drawing.tiles  # raises NotFound where web maps end
    return drawing, points[number - 1]


def draw(services: Services, drawing: Drawing, cog: Path, point: SamplePoint) -> bytes:
    """The picture of a point as PNG. cog: The path of its scene as a cloud-optimised GeoTIFF. Raises `Busy`."""
    info = drawing.scene.info
    grid = Grid(info.rows, info.cols, Affine(*info.transform), crs_from_wkt(info.crs))
    corners = corners_of(grid, point.row, point.col)
    near, wide = (scene_tiles.draw(services, drawing, cog, place) for place in places(corners))
    return chip(near, wide, corners)
