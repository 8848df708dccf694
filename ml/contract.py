"""The contract of a model: what a scene must be like to be predicted. It stands in the model's checkpoint."""

from typing import Annotated, Literal

from pydantic import Field

from ml.bounded import Metres
from ml.frozen import Frozen

UNLABELLED = 255  # in a mask: the class or the name is unknown; such a pixel is neither trained on nor counted
MAP_NODATA = 255  # in a map: the scene has no data there


class ClassDef(Frozen):
    """One class of a mask.

    value: Pixel value of the class, 0 to 254, which is below `UNLABELLED`. name: Name of the class. colour: Colour as
    "#rrggbb", or None for a default.
    """

    value: int = Field(ge=0, le=UNLABELLED - 1)
    name: str = Field(min_length=1, max_length=80)
    colour: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")


BINARY = (ClassDef(value=0, name="other"), ClassDef(value=1, name="sugarcane"))


class BandStatistics(Frozen):
    """Statistics of one band over the valid pixels of a training split, in the units of the band.

    mean, std: Mean and standard deviation. min, max: Lowest and highest value. low, high: Limits to which outliers are
    clipped before they enter the net; None if nothing is clipped.
    """

    mean: float
    std: float
    min: float
    max: float
    low: float | None = None
    high: float | None = None


class Scaling(Frozen):
    """How the numbers of a band in a file become physical units: scale * number + offset."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def declared(self) -> bool:
        """Whether the file declares a scale or an offset that changes the numbers."""
        return self != Scaling()


class BandRadiometry(Frozen):
    """The distribution of one band over the valid pixels of a scene, or of a reference, in the units of the band.

    mad: Median absolute deviation from the median. quantiles: Values at 0, 1, ..., 100 %.
    """

    median: float
    mad: float
    mean: float
    std: float
    quantiles: tuple[float, ...]


class LocalStatistics(Frozen):
    """Mean and standard deviation in square cells of a scene, anchored at its origin.

    cell_px: Side of a cell in pixels. rows, cols: Number of cells down and across the scene. mean, std: Values of shape
    (bands, rows, cols), flattened row by row; a cell with few valid pixels has the values of the cells around it.
    """

    cell_px: int
    rows: int
    cols: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SceneRadiometry(Frozen):
    """The statistics of one scene that homogenisation needs, computed once.

    bands: Distribution of each band. local: Statistics by cells, for the method "wallis" only.
    """

    bands: tuple[BandRadiometry, ...]
    local: LocalStatistics | None = None


Method = Literal["robust", "histogram", "wallis"]


class Homogenise(Frozen):
    """How scenes are brought to one radiometry before anything else is computed from them.

    method: Method of homogenisation. reference: Distribution of each band that all scenes are brought to: the mean of
    the scenes in the training split.
    """

    method: Method
    reference: tuple[BandRadiometry, ...]


BandName = Annotated[str, Field(max_length=80)]


class Contract(Frozen):
    """The input contract of a model.

    bands: Role or name of each band, in order; a number like "1" means that the band has no name. dtype: numpy name of
    the pixel type. gsd: Ground sampling distance in metres. nodata: Value of pixels without data, or None if none was
    declared. statistics: Statistics of each band, after homogenisation. classes: Classes that the model maps.
    homogenise: How scenes are homogenised, or None if they are used as they are. scaling: Scale and offset of each band
    in the files of the training; empty in contracts of before they were recorded.
    """

    bands: tuple[BandName, ...] = Field(min_length=1, max_length=256)
    dtype: str = Field(max_length=20)
    gsd: Metres
    nodata: float | None
    statistics: tuple[BandStatistics, ...]
    classes: tuple[ClassDef, ...] = Field(BINARY, max_length=UNLABELLED)
    homogenise: Homogenise | None = None
    scaling: tuple[Scaling, ...] = Field((), exclude_if=lambda scaling: not scaling)
