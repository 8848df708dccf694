"""The rows of a table of areas, and the sources of their formulas."""

from dataclasses import dataclass
from typing import Literal

from ml.estimation.sample import Design
from ml.estimation.values import Estimate

Method = Design | Literal["regression", "synthetic", "composite"]

SOURCES: dict[Method, str] = {
    "random": "Cochran 1977, chapter 2",
    "stratified": "Olofsson et al. 2014 (doi 10.1016/j.rse.2014.02.015), eq. 1 to 11; Stehman 2014 "
    "(doi 10.1080/01431161.2014.930207) for strata that are not the classes of the map",
    "systematic": "as a simple random sample, which is mostly too cautious; Cochran 1977, chapter 8",
    "cluster": "variance between clusters; Cochran 1977, chapter 9A",
    "regression": "regression estimator (Särndal, Swensson and Wretman 1992, chapter 6), which for a mean is PPI++ "
    "(Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453)",
    "synthetic": "error rates of the whole sample; Gonzalez and Waksberg 1973 for their mean squared error",
    "composite": "of the regression and the synthetic estimate; Drew, Singh and Choudhry 1982",
}


@dataclass(frozen=True)
class AreaRow:
    """The estimated area of one class.

    zone: Index of the zone, or None for all the ground that was sampled. class_index: Index of the class. area: The
    estimate in hectares. points: Number of sample points in the zone, of all classes. method: The estimator; its source
    is in `SOURCES`. too_few: Whether the zone has fewer points than an estimate of its own needs.
    """

    zone: int | None
    class_index: int
    area: Estimate
    points: int
    method: Method
    too_few: bool = False
