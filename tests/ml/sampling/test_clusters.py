"""Clusters of pixels: each pixel has the same probability, and the interval counts how alike their points are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.contract import MAP_NODATA
from ml.estimation.ratio import ratio
from ml.estimation.sample import Points, Sample, Strata
from ml.faults import InputRefused
from ml.sampling.clusters import Clusters, draw_clusters
from ml.sampling.design import Design, Frame
from ml.sampling.frame import read_frame
from ml.sampling.plan import CLUSTERED, ErrorRates
from ml.sampling.sample import draw_sample
from tests.ml.sampling.maps import CLASSES, write_map
from tests.rounds import rounds

FIELD_PX = 10
TRUTH = np.kron(np.random.default_rng(3).random((12, 12)) < 0.4, np.ones((FIELD_PX, FIELD_PX), bool)).astype(np.uint8)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = TRUTH.copy()
    image[:, -15:] = MAP_NODATA
    return write_map(tmp_path_factory.mktemp("map") / "classes.tif", image)


@pytest.fixture(scope="module")
def frame(classes: Path) -> Frame:
    return read_frame(classes, CLASSES, "whole map")


def many(classes: Path, frame: Frame, draws: int, each: int = 4) -> list[Clusters]:
    return [draw_clusters(classes, 12, each, 10 * each, frame, seed) for seed in range(draws)]


def test_each_pixel_has_the_probability_that_is_stated(classes: Path, frame: Frame) -> None:
    draws = rounds(300)
    times, expected = np.zeros(TRUTH.shape), 0.0
    for found in many(classes, frame, draws):
        np.add.at(times, (found.pixels.rows, found.pixels.cols), 1)
        expected += found.drawn / found.blocks * 4 / 12**2
    assert not times[:, -15:].any()
    for part in (np.s_[:12, :-15], np.s_[12:-12, 12:-30], np.s_[:, -20:-15]):  # corners, middle, edge of the data
        here = times[part]
        spread = 3 * np.sqrt(expected / here.size)  # of a mean of counts, whose pixels come in clusters
        assert here.mean() == pytest.approx(expected, abs=4 * spread)


def test_a_cluster_lies_in_one_block_and_comes_as_a_whole(classes: Path, frame: Frame) -> None:
    found = draw_clusters(classes, 12, 4, 40, frame, 5)
    assert (found.drawn, found.cluster.max()) == (10, 10)
    np.testing.assert_array_equal(found.cluster, np.sort(found.cluster))
    for number in np.unique(found.cluster):
        here = found.cluster == number
        assert 1 <= here.sum() <= 4
        assert np.ptp(found.pixels.rows[here]) < 12
        assert np.ptp(found.pixels.cols[here]) < 12
    again = draw_clusters(classes, 12, 4, 40, frame, 5)
    np.testing.assert_array_equal(again.pixels.rows, found.pixels.rows)


def test_the_interval_covers_where_that_of_a_random_sample_would_not(classes: Path, frame: Frame) -> None:
    draws = rounds(200)
    right = TRUTH[:, :-15].mean()
    covered = {"cluster": 0, "random": 0}
    for found in many(classes, frame, draws, each=12):
        cane = TRUTH[found.pixels.rows, found.pixels.cols].astype(np.int64)
        points = Points(np.zeros_like(cane), cane, cane, cluster=found.cluster)
        sample = Sample("cluster", Strata(("all",), np.array([1.0])), points)
        for one in (sample, replace(sample, design="random")):
            share = ratio(one, cane.astype(float), np.ones(cane.size))
            assert share.ci95 is not None
            covered[one.design] += share.ci95[0] <= right <= share.ci95[1]
    assert covered["cluster"] >= 0.9 * draws
    assert covered["random"] < 0.75 * draws


def test_a_drawn_sample_tells_its_clusters(classes: Path) -> None:
    design = Design(kind="cluster", n=40, cluster_px=12, per_cluster=4)
    drawn, points = draw_sample(classes, CLASSES, design, ErrorRates(np.array([[9, 1], [1, 9]])))
    (stratum,) = drawn.strata
    assert stratum.clusters is not None
    assert stratum.inclusion == pytest.approx(10 / stratum.clusters * 4 / 144)
    assert (stratum.n, {point.cluster for point in points}) == (len(points), set(range(1, 11)))
    assert (drawn.expected, drawn.why) == ((), CLUSTERED)


def test_more_clusters_than_blocks_are_refused(classes: Path, frame: Frame) -> None:
    with pytest.raises(InputRefused) as refused:
        draw_clusters(classes, 100, 5, 500, frame, 0)
    assert [fault.code for fault in refused.value.faults] == ["sample_too_large"]
