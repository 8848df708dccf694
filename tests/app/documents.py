"""The smallest documents that rows can hold, for tests that do not check the content of rows."""

from app.core.errors import ProblemDocument, document
from app.requests.data import DatasetRequest
from app.results import ModelMetrics, PreparedDataset
from ml.contract import BandStatistics, Contract
from ml.datasets.class_counts import SplitStatistics
from ml.datasets.splits import SceneSplit
from ml.scenes.inspect import SceneInfo

CONTRACT = Contract(
    bands=("1",), dtype="uint16", gsd=1, nodata=None, statistics=(BandStatistics(mean=1, std=1, min=0, max=2),)
)
UNSCORED = ModelMetrics(val=None, test=None)
REQUEST = DatasetRequest(
    name="gx", scenes=("s1",), labels=("l1",), split=SceneSplit(by="scene", train=("s1",), val=("s2",), test=("s3",))
)
SCENE = SceneInfo(
    rows=64,
    cols=64,
    bands=(),
    dtype="uint16",
    nodata=None,
    crs="",
    crs_code=None,
    transform=(1, 0, 0, 0, -1, 0),
    bounds=(0, 0, 1, 1),
    bbox=(0, 0, 1, 1),
    footprint={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
    gsd=1,
    size_bytes=1,
    warnings=(),
)


def prepared(**pixels: int) -> PreparedDataset:
    """A prepared dataset. pixels: number of pixels of each class in each split."""
    counts = SplitStatistics(pixels=pixels, fraction={}, area_ha={})
    return PreparedDataset(
        statistics=dict.fromkeys(("train", "val", "test"), counts),
        masks={"train": {}, "val": {}, "test": {"s3": "key"}},
        contract=CONTRACT,
    )


def problem(detail: str) -> ProblemDocument:
    """The error of a failed job."""
    return document(422, "internal-error", "The work could not be done", detail)
