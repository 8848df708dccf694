"""What a scene must be for a model to be used on it: the checkpoint carries it, prediction demands it."""

from typing import Literal

from pydantic import Field

from ml.frozen import Frozen

UNLABELLED = 255  # in a mask: no class is known there, or no name; such a pixel is neither trained on nor counted
MAP_NODATA = 255  # in a map: the scene has no data there


class ClassDef(Frozen):
    """One class of a mask. value: 0 to 254, so below `UNLABELLED`. colour: "#rrggbb", or None for a default."""

    value: int = Field(ge=0, le=UNLABELLED - 1)
    name: str = Field(min_length=1, max_length=80)
    colour: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")


BINARY = (ClassDef(value=0, name="other"), ClassDef(value=1, name="sugarcane"))


class BandStatistics(Frozen):
    """One band over the valid pixels of a training split, in the band's own units.

    low, high: what lies outside is an outlier and is clipped before the net sees it; None: nothing is clipped.
    """

    mean: float
    std: float
    min: float
    max: float
    low: float | None = None
    high: float | None = None


class BandRadiometry(Frozen):
    """The distribution of one band over the valid pixels of a scene, or of a reference, in the band's own units.

    mad: median absolute deviation from the median. quantiles: at 0, 1, ..., 100 %.
    """

    median: float
    mad: float
    mean: float
    std: float
    quantiles: tuple[float, ...]


class LocalStatistics(Frozen):
    """Mean and standard deviation in square cells of a scene, anchored at its origin.

    mean, std: (bands, rows, cols) of cells, flattened row by row; a cell with few valid pixels has what is around it.
    """

    cell_px: int
    rows: int
    cols: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SceneRadiometry(Frozen):
    """What homogenisation needs to know of one scene, computed once. local: for the method "wallis" only."""

    bands: tuple[BandRadiometry, ...]
    local: LocalStatistics | None = None


Method = Literal["robust", "histogram", "wallis"]


class Homogenise(Frozen):
    """How scenes are brought to one radiometry before anything else sees them. reference: of the training split."""

    method: Method
    reference: tuple[BandRadiometry, ...]


class Contract(Frozen):
    """The input contract of a model.

    bands: role or name of each band, in order; a name "1", "2", ... means that nobody named it.
    dtype: numpy name of the pixel type. gsd: ground sampling distance in metres. nodata: None if none was declared.
    statistics: of the pixels after homogenisation, which is None where scenes are taken as they are.
    """

    bands: tuple[str, ...]
    dtype: str
    gsd: float
    nodata: float | None
    statistics: tuple[BandStatistics, ...]
    classes: tuple[ClassDef, ...] = BINARY
    homogenise: Homogenise | None = None
