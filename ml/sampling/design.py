"""What a sample is asked for, and what a drawn sample is."""

from typing import Literal

from pydantic import Field

from ml.contract import ClassDef
from ml.faults import Note
from ml.frozen import Frozen

MOST_POINTS = 10_000
WHOLE = "all"  # key of the one stratum of a design without strata
Kind = Literal["stratified", "random", "systematic", "cluster"]
Allocation = Literal["proportional", "equal", "neyman", "power"]


class Design(Frozen):
    """How a sample is drawn. Either `n` or `target_cv` says how large it is.

    "stratified" draws pixels at random in each class of the map, "random" in the whole map, "systematic" draws one
    pixel in each cell of a regular grid that begins at random, "cluster" draws blocks of the map and pixels in each.
    """

    kind: Kind = "stratified"
    strata: Literal["class", "class_x_zone", "probability"] = Field(
        "class",
        description="Strata of a stratified sample: the classes of the map, its classes in each zone of `zones`, or "
        "ranges of its probability, below 0.1, 0.5, 0.9 and 1.",
    )
    allocation: Allocation = Field(
        "proportional",
        description="How the points are shared out among the strata: by their area, equally, by their area and the "
        "expected errors in them (Neyman), or by the square root of their area (power).",
    )
    n: int | None = Field(
        None, ge=2, le=MOST_POINTS, description="Number of points. A systematic sample has about that many."
    )
    target_cv: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest expected coefficient of variation of an area, instead of `n`: 0.05 is a standard error "
        "of 5 %. Of two classes the second counts, of more classes all. With strata by zone it is the target of each "
        "zone. The expectation comes from the errors of the model on its test split.",
    )
    min_per_stratum: int = Field(30, ge=2, le=1000, description="Least number of points in each stratum.")
    cluster_px: int = Field(100, ge=2, le=10_000, description="Side of the blocks of a cluster sample, in pixels.")
    per_cluster: int = Field(
        5, ge=1, le=1000, description="Number of points in each block of a cluster sample; at most cluster_px squared."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="The same map, design and seed give the same points.")


class Stratum(Frozen):
    """A part of the map with points of its own.

    key: The value of the class or the number of the range as a text, or `WHOLE`. Those of merged strata have a +
    between them, and in strata by zone they follow the code of the zone and a slash. name: For people. pixels, area_ha:
    Of the stratum. n: Number of its points. inclusion: Probability of each of its pixels to be in the sample. clusters:
    How many clusters could have been drawn, in a cluster sample. zone: Code of the zone in which it lies, if it was
    drawn by zone; None for ground outside all zones.
    """

    key: str
    name: str
    pixels: int
    area_ha: float
    n: int
    inclusion: float
    clusters: int | None = None
    zone: str | None = None


class Frame(Frozen):
    """The pixels of the map from which the sample is drawn: all that have a class.

    sha256: Digest of the grid, the classes of all pixels and the rule of the strata, in hex. classes: All classes of
    the map. class_area_ha, class_pixels: By class value.
    """

    sha256: str
    pixels: int
    area_ha: float
    classes: tuple[ClassDef, ...]
    class_area_ha: dict[int, float]
    class_pixels: dict[int, int]


class Expected(Frozen):
    """The precision to be expected for the area of one class, if the errors are those of the model's test split.

    zone: Code of the zone, if the sample was drawn by zone; None for the whole map.
    """

    class_name: str
    estimated_ha: float
    se_ha: float
    cv: float | None
    zone: str | None = None


class DrawnSample(Frozen):
    """A sample that was drawn, without its points.

    expected: By class; empty if nothing can be expected, for the reason in `why`. crs: WKT of the CRS of the map; empty
    in samples that were drawn before it was kept.
    """

    frame: Frame
    strata: tuple[Stratum, ...]
    expected: tuple[Expected, ...] = ()
    why: str | None = None
    notes: tuple[Note, ...] = ()
    software: dict[str, str] = Field(default_factory=dict)
    crs: str = ""


class SamplePoint(Frozen):
    """One pixel of a sample.

    id: 1, 2, ... in random order, which tells nothing of the strata. lon, lat: Centre of the pixel in degrees of WGS
    84. row, col: From 0. stratum: Key of its stratum. map_class: Value of its class on the map. in_training: Whether
    the model was trained on it; None if that is not known. cluster: The number of its cluster, 1, 2, ... in random
    order; None but in a cluster sample. scene: The number of the scene from which the pixel comes, in a sample of a
    mosaic. area_ha: Ground area of the pixel in hectares; None in samples that were drawn before it was kept.
    """

    id: int
    lon: float
    lat: float
    row: int
    col: int
    stratum: str
    map_class: int
    in_training: bool | None = None
    cluster: int | None = None
    scene: int | None = None
    area_ha: float | None = None
