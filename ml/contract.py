"""What a scene must be for a model to be used on it: the checkpoint carries it, prediction demands it."""

from ml.model import Frozen


class ClassDef(Frozen):
    """One class of a mask. value: 0 to 254; 255 always means unlabelled."""

    value: int
    name: str


BINARY = (ClassDef(value=0, name="other"), ClassDef(value=1, name="sugarcane"))


class BandStatistics(Frozen):
    """One band over the valid pixels of a training split, in the band's own units."""

    mean: float
    std: float
    min: float
    max: float


class Contract(Frozen):
    """The input contract of a model.

    bands: role or name of each band, in order; a name "1", "2", ... means that nobody named it.
    dtype: numpy name of the pixel type. gsd: ground sampling distance in metres. nodata: None if none was declared.
    """

    bands: tuple[str, ...]
    dtype: str
    gsd: float
    nodata: float | None
    statistics: tuple[BandStatistics, ...]
    classes: tuple[ClassDef, ...] = BINARY
