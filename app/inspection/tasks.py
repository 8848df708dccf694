"""What a child process may be asked to do: one function of `ml`, with one file. Nothing here imports torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.inspection.limits import Limits
from ml.checkpoint_header import CheckpointHeader
from ml.checkpoint_tensors import inspect_checkpoint
from ml.frozen import Frozen
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport, inspect_labels
from ml.products.cog import is_cog, to_cog
from ml.scenes.inspect import SceneInfo, inspect_scene


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


Task = InspectScene | InspectLabels | InspectCheckpoint | MakeCog


class Order(Frozen):
    """A task, and the limits of the process that does it."""

    task: Annotated[Task, Field(discriminator="kind")]
    limits: Limits

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that the task may write to."""
        return (self.task.out.parent,) if isinstance(self.task, MakeCog) else ()
