"""What a child process may be asked to do: one function of `ml`, with one file. Nothing here imports torch."""

import io
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import AfterValidator, ConfigDict, Field

from app.inspection.limits import Limits
from ml.checkpoint_header import CheckpointHeader
from ml.checkpoint_tensors import inspect_checkpoint
from ml.contract import ClassDef
from ml.frozen import Frozen
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport, inspect_labels
from ml.products.cog import is_cog, to_cog
from ml.products.scene_picture import Place, Range, SceneFile, Style, draw
from ml.products.zoned_polygons import ZonedPolygons, write_zoned_polygons
from ml.scenes.inspect import SceneInfo, inspect_scene
from ml.surveys.change import Transitions, transitions
from ml.zones.areas import ClassesByZone, classes_by_zone
from ml.zones.inspect import InspectedZones, inspect_zones
from ml.zones.locating import PlacesByZone, pixels_by_zone
from ml.zones.read import ZoneOptions, Zones

PNG = b"\x89PNG\r\n\x1a\n"
PNG_LEVEL = 1  # a third of the time of level 6, and a tenth more bytes


class InspectScene(Frozen):
    """Inspect the scene `path`, with the names of bands and the nodata value that its owner declared."""

    kind: Literal["scene"] = "scene"
    path: Path
    bands: tuple[str, ...] | None
    nodata: float | None

    def do(self) -> SceneInfo:
        """Do the task."""
        return inspect_scene(self.path, bands=self.bands, nodata=self.nodata)


class InspectLabels(Frozen):
    """Inspect the layer of labels `path`."""

    kind: Literal["labels"] = "labels"
    path: Path
    options: LabelOptions

    def do(self) -> LabelReport:
        """Do the task."""
        return inspect_labels(self.path, self.options)


class InspectZones(Frozen):
    """Inspect the layer of zones `path`, and write them to `out` as GeoJSON."""

    kind: Literal["zones"] = "zones"
    path: Path
    options: ZoneOptions
    out: Path

    def do(self) -> InspectedZones:
        """Do the task."""
        return inspect_zones(self.path, self.options, self.out)


class MeasureZones(Frozen):
    """Measure the classes of the map `map` in each zone of the layer `path`."""

    kind: Literal["zone areas"] = "zone areas"
    path: Path
    options: ZoneOptions
    map: Path

    def do(self) -> ClassesByZone:
        """Do the task."""
        return classes_by_zone(self.map, Zones(self.path, self.options))


class MeasureChange(Frozen):
    """Measure the transitions from the mosaic `path` to the mosaic `later`, by the zones of a layer if there is one."""

    kind: Literal["change"] = "change"
    path: Path
    later: Path
    classes: tuple[tuple[ClassDef, ...], tuple[ClassDef, ...]]
    zones: tuple[Path, ZoneOptions] | None

    def do(self) -> Transitions:
        """Do the task."""
        return transitions(self.path, self.later, self.classes, self.zones and Zones(*self.zones))


class LocatePixels(Frozen):
    """Find the zones of the layer `path` in which the centres of pixels of the map `map` lie. rows, cols: Of these."""

    kind: Literal["zones of pixels"] = "zones of pixels"
    path: Path
    options: ZoneOptions
    map: Path
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    def do(self) -> PlacesByZone:
        """Do the task."""
        return pixels_by_zone(self.map, Zones(self.path, self.options), self.rows, self.cols)


class CutPolygons(Frozen):
    """Cut the polygons of the map `map` at the borders of the zones of the layer `path`, and write them to `out`."""

    kind: Literal["zoned polygons"] = "zoned polygons"
    path: Path
    options: ZoneOptions
    map: Path
    polygons: Path
    classes: tuple[ClassDef, ...]
    out: Path

    def do(self) -> ZonedPolygons:
        """Do the task."""
        return write_zoned_polygons(self.polygons, self.map, self.classes, Zones(self.path, self.options), self.out)


class InspectCheckpoint(Frozen):
    """Check the checkpoint `path` and read its header."""

    kind: Literal["checkpoint"] = "checkpoint"
    path: Path

    def do(self) -> CheckpointHeader:
        """Do the task."""
        return inspect_checkpoint(self.path)


class CopyMade(Frozen):
    """Whether a copy was made."""

    made: bool


class MakeCog(Frozen):
    """Copy the scene `path` into the cloud-optimised GeoTIFF `out`, unless it is one already.

    Other files may be made in the folder of `out` meanwhile.
    """

    kind: Literal["cog"] = "cog"
    path: Path
    out: Path

    def do(self) -> CopyMade:
        """Do the task."""
        if is_cog(self.path):
            return CopyMade(made=False)
        to_cog(self.path, self.out)
        return CopyMade(made=True)


def _png(content: bytes) -> bytes:
    """Raise `ValueError` for bytes that do not begin as a PNG: browsers must not take them for something else."""
    if not content.startswith(PNG):
        raise ValueError("not a PNG")
    return content


class DrawnPicture(Frozen):
    """A picture of a scene. ranges: Those between which each band was drawn; None for the colours of a palette."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    png: Annotated[bytes, AfterValidator(_png)]
    ranges: tuple[Range, ...] | None


class DrawScene(Frozen):
    """Draw a part of the scene `path`. The other fields are those of `SceneFile` and of `ml.products.scene_picture`."""

    kind: Literal["picture"] = "picture"
    path: Path
    nodata: float | None
    names: tuple[str, ...]
    extremes: tuple[Range, ...]
    style: Style
    place: Place

    def do(self) -> DrawnPicture:
        """Do the task."""
        scene = SceneFile(self.path, self.nodata, self.names, self.extremes)
        picture = draw(scene, self.style, self.place)
        return DrawnPicture(png=as_png(picture.pixels), ranges=picture.ranges)


def as_png(pixels: np.ndarray) -> bytes:
    """Red, green, blue and alpha, uint8 (rows, cols, 4), as a PNG."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", compress_level=PNG_LEVEL)
    return target.getvalue()


Task = (
    InspectScene
    | InspectLabels
    | InspectZones
    | MeasureZones
    | MeasureChange
    | LocatePixels
    | CutPolygons
    | InspectCheckpoint
    | MakeCog
    | DrawScene
)


class Order(Frozen):
    """A task, and the limits of the process that does it."""

    task: Annotated[Task, Field(discriminator="kind")]
    limits: Limits

    @property
    def readable(self) -> tuple[Path, ...]:
        """The files that the task may read."""
        match self.task:
            case MeasureZones(path=path, map=map_) | LocatePixels(path=path, map=map_):
                return path, map_
            case CutPolygons(path=path, map=map_, polygons=polygons):
                return path, map_, polygons
            case MeasureChange(path=path, later=later, zones=zones):
                return path, later, *(zones[:1] if zones else ())
        return (self.task.path,)

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that the task may write to."""
        return (self.task.out.parent,) if isinstance(self.task, MakeCog | InspectZones | CutPolygons) else ()
