"""Makes sure that GDAL sees the file that was checked.

`ml.scenes.tiff_safety` reads the directories of an untrusted TIFF in Python before GDAL does. Where a file can be read
in two ways, GDAL could see another size, another type or a reference to another file. Such a file is refused.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from ml.faults import Fault, refuse_any
from ml.geo.raster import open_raster, pixel_types, refusing_damage
from ml.scenes.source import usable_nodata
from ml.scenes.tiff_directories import ambiguous
from ml.scenes.tiff_safety import REFERENCES, TiffLayout, check_tiff, external_reference

_REFERRING = ("OVERVIEWS", "GEOLOCATION")  # domains of metadata from which GDAL takes names of files
_RPC_ONLY = Fault(
    "rpc_unsupported",
    "The image is georeferenced by rational polynomials (RPC), not by a grid.",
    "Orthorectify it first: gdalwarp -rpc -t_srs EPSG:... in.tif out.tif",
)
_Pair = tuple[object, object]


def check_raster(path: Path) -> TiffLayout:
    """Check a GeoTIFF that a client sent, open it with GDAL, and compare what both say.

    Raises:
        InputRefused: The faults of `check_tiff`; corrupt_tiff if GDAL cannot open the file or sees another layout;
            external_reference if GDAL finds a reference to another file; rpc_unsupported if the file has rational
            polynomials and no grid.
    """
    layout = check_tiff(path)
    with refusing_damage("The file cannot be read as a GeoTIFF."), open_raster(path) as dataset:
        if _refers_elsewhere(dataset):  # comes first: to count overviews would open the other file
            refuse_any([external_reference()])
        refuse_any(_differences(layout, dataset))
        if layout.rpc and dataset.transform.is_identity:
            refuse_any([_RPC_ONLY])
    return layout


def _refers_elsewhere(dataset: DatasetReader) -> bool:
    return any(dataset.tags(ns=domain) for domain in _REFERRING) or any(map(REFERENCES.search, dataset.tags()))


def _differences(layout: TiffLayout, dataset: DatasetReader) -> Iterator[Fault]:
    """Yield corrupt_tiff with both figures for each thing that the checked file and GDAL's file do not have alike."""
    pairs: dict[str, _Pair] = {
        "rows": (layout.rows, dataset.height),
        "columns": (layout.cols, dataset.width),
        "bands": (layout.bands, dataset.count),
        "pixels": (layout.dtype, "/".join(sorted(set(pixel_types(dataset))))),
        "overviews": (layout.overviews, len(dataset.overviews(1))),
        "masks": (int(layout.masked), int(dataset.mask_flag_enums[0] == [MaskFlags.per_dataset])),
        "nodata": _nodata(layout, dataset),
        "blocks": _blocks(layout, dataset),
    }
    for name, (checked, found) in pairs.items():
        if checked != found:
            detail = f"The file can be read in two ways, with {name} {checked} or {found}."
            yield from ambiguous(detail).faults


def _nodata(layout: TiffLayout, dataset: DatasetReader) -> _Pair:
    """Return both nodata values; GDAL's does not count if no pixel can have the declared one: it reads "abc" as 0."""
    dtype = np.dtype(layout.dtype)
    checked = usable_nodata(layout.nodata, dtype)
    found = None if checked is None or dataset.nodata is None else dtype.type(dataset.nodata)
    return checked, found


def _blocks(layout: TiffLayout, dataset: DatasetReader) -> _Pair:
    """Return both sizes of a block as text; GDAL may cut an image that is a single strip into shorter strips."""
    sizes = sorted({f"{rows} x {cols}" for rows, cols in dataset.block_shapes})
    single_strip = not layout.tiled and layout.block_rows == layout.rows
    cut = single_strip and all(cols == layout.cols and rows <= layout.rows for rows, cols in dataset.block_shapes)
    found = "/".join(sizes)
    return found if cut else f"{layout.block_rows} x {layout.block_cols}", found
