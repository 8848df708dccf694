"""The means of counties agree with those of Battese, Harter and Fuller's survey of Iowa."""

import numpy as np
import pytest

from ml.estimation.eblup import SmallAreas, eblup

# Battese, Harter and Fuller 1988, table 1: means of pixels of corn and soybeans by county, and of each segment the
# hectares of corn and soybeans and the pixels of both, without the second segment of Hardin, which the paper leaves
# out. Copies of the table differ in Hamilton's mean of soybeans: 196.65, in some, would give 126.22 ha of corn there.
COUNTIES = {
    "Cerro Gordo": ((295.29, 189.70), ["165.76 8.09 374 55"]),
    "Hamilton": ((300.40, 196.55), ["96.32 106.03 209 218"]),
    "Worth": ((289.60, 205.28), ["76.08 103.60 253 250"]),
    "Humboldt": ((290.74, 220.22), ["185.35 6.47 432 96", "116.43 63.82 367 178"]),
    "Franklin": ((318.21, 188.06), ["162.08 43.50 361 137", "152.04 71.43 288 206", "161.75 42.49 369 165"]),
    "Pocahontas": ((257.17, 247.13), ["92.88 105.26 206 218", "149.94 76.49 316 221", "64.75 174.34 145 338"]),
    "Winnebago": ((291.77, 185.37), ["127.07 95.67 355 128", "133.55 76.57 295 147", "77.70 93.48 223 204"]),
    "Wright": ((301.26, 221.36), ["206.39 37.84 459 77", "108.33 131.12 290 217", "118.17 124.44 307 258"]),
    "Webster": (
        (262.17, 247.09),
        ["99.96 144.15 252 303", "140.43 103.60 293 221", "98.95 88.59 206 222", "131.04 115.58 302 274"],
    ),
    "Hancock": (
        (314.28, 198.66),
        [
            *("114.12 99.15 313 190", "100.60 124.56 246 270", "127.88 110.88 353 172", "116.90 109.14 271 228"),
            "87.41 143.66 237 297",
        ],
    ),
    "Kossuth": (
        (298.65, 204.61),
        [
            *("93.48 91.05 221 167", "121.00 132.33 369 191", "109.91 143.14 343 249", "122.66 104.13 342 182"),
            "104.21 118.57 294 179",
        ],
    ),
    "Hardin": (
        (325.99, 177.05),
        [
            *("88.59 102.59 220 262", "165.35 69.28 355 160", "104.00 99.15 261 221", "88.63 143.66 187 345"),
            "153.70 94.49 350 190",
        ],
    ),
}
CORN = [122.20, 126.24, 106.70, 108.44, 144.28, 112.14, 112.80, 122.00, 115.33, 124.42, 106.90, 143.01]
SOYBEANS = [78.49, 94.36, 87.39, 81.07, 66.24, 113.73, 97.77, 112.27, 109.79, 100.65, 118.98, 75.15]


def estimated(crop: int) -> SmallAreas:
    segments = np.array([[float(cell) for cell in row.split()] for _, rows in COUNTIES.values() for row in rows])
    county = np.repeat(np.arange(len(COUNTIES)), [len(rows) for _, rows in COUNTIES.values()])
    return eblup(segments[:, crop], segments[:, 2:], county, np.array([means for means, _ in COUNTIES.values()]))


def test_the_hectares_of_corn_agree_with_the_published_ones() -> None:
    found = estimated(0)
    assert len(COUNTIES) == 12
    assert (round(found.between, 2), round(found.within, 2)) == (140.02, 147.27)
    assert found.coefficients == pytest.approx([51.0704, 0.328722, -0.134568], rel=5e-6)
    assert [round(mean.value or 0, 2) for mean in found.means] == pytest.approx(CORN, abs=0.0051)


def test_the_hectares_of_soybeans_agree_with_the_published_ones() -> None:
    found = estimated(1)
    assert (round(found.between, 2), round(found.within, 2)) == (247.53, 190.45)
    assert [round(mean.value or 0, 2) for mean in found.means] == pytest.approx(SOYBEANS, abs=0.0051)
