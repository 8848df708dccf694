"""The polygons of a prediction, cut at the borders of zones."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Literal

from app.learning import registry
from app.mapping import predictions, zone_areas
from app.services import Services
from app.tables import Scene

PolygonFormat = Literal["geojson", "gpkg"]


def made(services: Services, id_: str, zones: str, format_: PolygonFormat) -> BinaryIO:
    """The polygons of a prediction with the zone of each, as a file that is open for reading and has no name any more.

    Raises `NotFound`, also for a prediction without polygons or without a class map, `NotReady`, `Invalid` for unknown
    zones, `Busy`, or `InputRefused` if it exceeds the limits of an inspection.
    """
    with services.database.read() as session:
        row, used = predictions.get(session, id_), zone_areas.known_zones(session, zones)
        info = session.get_one(Scene, row.scene).info
        classes = registry.get(session, row.model, str(row.version)).contract.classes
    keys = [predictions.stored(services, id_, name).object for name in ("classes.tif", "polygons.gpkg")]
    limits = zone_areas.limits(services, info.rows * info.cols)
    with (
        zone_areas.taken(services, used.object, *keys) as (layer, map_, polygons),
        TemporaryDirectory(dir=layer.parent) as folder,
    ):
        out = Path(folder) / f"polygons.{format_}"
        services.inspector.zoned_polygons(layer, used.options, (map_, polygons), classes, out, limits)
        return out.open("rb")
