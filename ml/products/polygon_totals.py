"""What the polygon files of a map have, and how their hectares follow from those of its pixels."""

from pydantic import Field

from ml.frozen import Frozen


class ClassPolygons(Frozen):
    """The polygons of one class of a map, and how their hectares follow from those of its pixels.

    `area_ha` is `mapped_ha` and `merged_ha` together, without `left_out_ha`.
    """

    value: int
    name: str
    count: int = Field(description="Number of polygons.")
    mapped_ha: float = Field(description="Hectares of the pixels of the class, as `areas` tells them.")
    merged_ha: float = Field(
        description="What the class has gained by merging patches below `mmu_ha` into their neighbours, or lost."
    )
    left_out_ha: float = Field(description="Hectares of the polygons below `min_area_ha`, which are not in the files.")
    area_ha: float = Field(description="Hectares of the polygons.")


class PolygonTotals(Frozen):
    """What the polygon files of a map have, class by class."""

    mmu_ha: float = Field(description="Minimum mapping unit: smaller patches were merged into their neighbours.")
    mmu_px: int = Field(description="Number of pixels in which that was counted: patches with fewer were merged.")
    classes: tuple[ClassPolygons, ...]
