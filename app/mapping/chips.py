"""Pictures of the points of samples, drawn when they are asked for, like those of scenes."""

from pathlib import Path

from app.core.errors import NotFound
from app.mapping import sampled_maps, samples, scene_tiles
from app.mapping.scene_tiles import Drawing
from app.services import Services
from ml.geo.grid import Grid
from ml.sampling.chip import chip, corners_of, places
from ml.sampling.design import SamplePoint


def of_point(
    services: Services, id_: str, number: int, bands: str | None, stretch: str | None
) -> tuple[Drawing, SamplePoint, Grid]:
    """The scene of a point, the point, and the grid of its map. bands, stretch: As for `scene_tiles.style_of`.

    Raises `NotFound`, `NotReady`, and `InputRefused` for wrong bands or a wrong stretch.
    """
    with services.database.read() as session:
        sample = samples.get(session, id_)
        drawn, points = samples.result(session, sample)
        if not 1 <= number <= len(points):
            raise NotFound("point", str(number))
        map_ = sampled_maps.get(session, sampled_maps.id_of(sample))
        scene = sampled_maps.scene_at(session, map_, points[number - 1].scene)
        grid = sampled_maps.grid_of(session, map_, scene, drawn)
    drawing = Drawing(scene, scene_tiles.style_of(scene.info, bands, stretch))
    _ = drawing.tiles  # raises NotFound where web maps end
    return drawing, points[number - 1], grid


def draw(services: Services, drawing: Drawing, cog: Path, point: SamplePoint, grid: Grid) -> bytes:
    """The picture of a point as PNG.

    cog: The path of its scene as a cloud-optimised GeoTIFF. grid: Of the map that has the point. Raises `Busy`.
    """
    corners = corners_of(grid, point.row, point.col)
    near, wide = (scene_tiles.draw(services, drawing, cog, place) for place in places(corners))
    return chip(near, wide, corners)
