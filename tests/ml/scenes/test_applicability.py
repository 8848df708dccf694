"""A scene whose values lie outside the training of a model is flagged, with the share of its area."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.contract import BandRadiometry, BandStatistics, Contract, Homogenise
from ml.data import SceneFile
from ml.scenes import applicability as module
from ml.scenes.applicability import Applicability, applicability
from tests.ml.conftest import MakeScene

RNG = np.random.default_rng(0)
CLIPPED = BandStatistics(mean=500, std=100, min=0, max=60_000, low=200, high=800)  # 140 to 860 with the slack
PLAIN = BandStatistics(mean=500, std=100, min=100, max=60_000)  # 100 to 1,000, and 10 to 1,090 with the slack
LEVELS = [(0, "inside"), (4, "inside"), (6, "partly"), (49, "partly"), (51, "outside")]
Judge = Callable[..., Applicability]


def contract(*statistics: BandStatistics, **more: object) -> Contract:
    known = {"bands": ("red", "nir"), "dtype": "uint16", "gsd": 10, "nodata": 0, "statistics": statistics}
    return Contract.model_validate(known | more)


@pytest.fixture
def judge(make_scene: MakeScene) -> Judge:
    """Judges a scene of 2 bands, uint16 (2, rows, cols), by a contract."""

    def judged(image: np.ndarray, known: Contract) -> Applicability:
        return applicability(SceneFile(name="s", path=make_scene(image, nodata=0)), known)

    return judged


def usual(rows: int = 100, cols: int = 100) -> np.ndarray:
    return RNG.integers(200, 800, (2, rows, cols), dtype=np.uint16)


@pytest.mark.parametrize("statistics", [CLIPPED, PLAIN], ids=["percentiles", "no percentiles"])
@pytest.mark.parametrize(("rows", "level"), LEVELS)
def test_the_level_follows_from_the_share_of_the_area(
    judge: Judge, statistics: BandStatistics, rows: int, level: str
) -> None:
    image = usual()
    image[1, :rows] = 2000
    found = judge(image, contract(statistics, statistics))
    assert found.level == level
    assert found.outside_share == pytest.approx(rows / 100, abs=1e-5)
    assert [band.name for band in found.bands] == (["nir"] if rows else [])
    assert [note.code for note in found.notes()] == ([] if level == "inside" else ["outside_training"])


def test_a_pixel_outside_in_several_bands_counts_once_and_nodata_not_at_all(judge: Judge) -> None:
    image = usual()
    image[:, :30] = 0  # no data
    image[:, 30:50] = 5000
    image[0, 50:60] = 1  # too dark
    found = judge(image, contract(CLIPPED, CLIPPED))
    assert found.outside_share == pytest.approx(30 / 70, abs=1e-4)
    assert [(band.name, round(band.share, 3)) for band in found.bands] == [("red", 0.429), ("nir", 0.286)]


def test_values_a_little_beyond_the_percentiles_are_inside(judge: Judge) -> None:
    image = usual()
    image[:, :, :50], image[:, :, 50:] = 145, 855
    assert judge(image, contract(CLIPPED, CLIPPED)).outside_share == 0
    image[:, :, 50:] = 865
    assert judge(image, contract(CLIPPED, CLIPPED)).outside_share == pytest.approx(0.5, abs=1e-5)


def test_a_large_scene_is_judged_by_some_windows(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PIXELS", 300 * 300)
    monkeypatch.setattr(module, "_WINDOW_PX", 16)
    image = usual(400, 400)
    image[0, :, 200:] = 3000
    found = judge(image, contract(CLIPPED, CLIPPED))
    assert found.outside_share == pytest.approx(0.5, abs=0.06)
    assert found.outside_share != pytest.approx(0.5, abs=1e-4)
    assert judge(image, contract(CLIPPED, CLIPPED)) == found


def test_what_cannot_be_judged_says_why(judge: Judge) -> None:
    assert "no statistics" in str(judge(usual(), contract()).why)
    band = BandRadiometry(median=500, mad=50, mean=500, std=100, quantiles=tuple(range(101)))
    homogenised = contract(CLIPPED, CLIPPED, homogenise=Homogenise(method="robust", reference=(band, band)))
    found = judge(usual(), homogenised)
    assert (found.level, found.outside_share, list(found.notes())) == (None, None, [])
    assert "Homogenisation (robust)" in str(found.why)


@pytest.mark.parametrize(("share", "codes"), [(0.0, ["low_contrast"]), (0.3, ["low_contrast"]), (0.4, []), (2.5, [])])
def test_a_homogenised_scene_of_little_contrast_may_have_a_single_class(share: float, codes: list[str]) -> None:
    found = Applicability(level=None, why="Homogenisation", contrast=share)
    assert [note.code for note in found.notes()] == codes
    assert "contrast" not in Applicability(level=None).model_dump()
