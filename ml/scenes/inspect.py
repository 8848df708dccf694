"""Inspection of GeoTIFFs: their properties, and whether they can be used as scenes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import rasterio
from pydantic import AfterValidator, Field

from ml.bounded import LARGEST_M, Count, Degrees, LongText, Metres, Outline, ShortText
from ml.contract import BandStatistics, Scaling
from ml.faults import Fault, Note, refuse_any
from ml.frozen import Frozen
from ml.geo.areas import pixel_side_m, pixel_sides_m
from ml.geo.crs import crs_code
from ml.geo.crs_codes import code_notes
from ml.geo.datum_shifts import datum_notes
from ml.geo.grid import Grid, counter_clockwise
from ml.geo.placement import checked_grid, degree_notes, use_notes
from ml.geo.raster import LEAST_CACHE, has_cog_layout, lossy_compression, refusing_damage
from ml.scenes.bands import band_names
from ml.scenes.geo_keys import check_keys
from ml.scenes.sample import WINDOWS_PER_SIDE, Sample, sample_scene
from ml.scenes.source import RasterSource
from ml.scenes.tiff_agreement import check_raster
from ml.scenes.tiff_safety import MAX_BANDS, MAX_SIDE

_OBLONG = 1.5  # as GSDs may differ


class BandInfo(Frozen):
    """One band of a scene.

    name: Name of the band, as `ml.scenes.bands.band_names` finds it.
    dtype: NumPy name of the pixels' type in the file.
    description: Description of the band in the file; None if it has none.
    statistics: Statistics of a sample of the valid pixels, in physical units.
    scaling: Scale and offset in the file; None in rows of before they were recorded.
    """

    name: ShortText
    dtype: ShortText
    description: LongText | None
    statistics: BandStatistics
    scaling: Scaling | None = None


class SceneInfo(Frozen):
    """Properties of a scene, as its file and its owner describe them.

    rows, cols: Size in pixels.
    bands: Bands in the order of the file, without alpha, which is a mask unless the owner named it.
    dtype: NumPy name of the pixels' type in the file.
    nodata: Nodata value in the file's units, before scale and offset; None if there is none that a pixel can have.
    crs: CRS as WKT2.
    crs_code: Code of the CRS, like "EPSG:32649"; None if no authority lists it.
    transform: Coefficients a, b, c, d, e, f of x = a col + b row + c, y = d col + e row + f.
    bounds: Left, bottom, right and top, in units of the CRS.
    bbox: West, south, east and north limits, in degrees of WGS 84.
    footprint: Outline on the ground as a GeoJSON geometry in WGS 84, counter-clockwise also in rows of older versions.
    gsd: Ground sampling distance at the centre, in metres: the side of a square as large as the pixel on the ground.
    size_bytes: Size of the file.
    warnings: Notes about things that the owner should check.
    cog: Whether the file was written as a cloud-optimised GeoTIFF; None if an older version inspected it.
    """

    rows: int = Field(ge=1, le=MAX_SIDE)
    cols: int = Field(ge=1, le=MAX_SIDE)
    bands: tuple[BandInfo, ...] = Field(max_length=MAX_BANDS)
    dtype: ShortText
    nodata: float | None
    crs: LongText
    crs_code: ShortText | None
    transform: tuple[float, float, float, float, float, float]
    bounds: tuple[float, float, float, float]
    bbox: Degrees
    footprint: Annotated[Outline, AfterValidator(counter_clockwise)]
    gsd: Metres
    size_bytes: Count
    warnings: tuple[Note, ...] = Field(max_length=1000)
    cog: bool | None = None


def inspect_scene(
    path: Path,
    *,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    windows_per_side: int = WINDOWS_PER_SIDE,
) -> SceneInfo:
    """Read the metadata of a GeoTIFF and a sample of its pixels.

    bands: Names of the bands, in order, as declared by the owner; None to take the names from the file. Alpha is a
        band if it has a name too.
    nodata: Nodata value in the file's units, as declared by the owner; None to take the file's value.
    windows_per_side: Largest number of sampled windows along each side of the scene; values below 2 count as 2.

    Raises:
        InputRefused: The faults found. Codes: those of `check_raster`, missing_crs, unknown_crs,
            contradictory_crs, missing_georeference, gcps_unsupported, bad_transform, bad_extent, too_small, no_bands,
            bad_bands, bad_scale, no_valid_pixels.
    """
    layout = check_raster(path)
    small_cache = rasterio.Env(GDAL_CACHEMAX=4 * LEAST_CACHE)  # hardly any block of a sample is read twice
    with (
        small_cache,
        refusing_damage("The file cannot be read as a GeoTIFF."),
        RasterSource(path, nodata, bands) as source,
    ):
        grid = checked_grid(source.dataset)
        said = check_keys(path, grid.crs) + code_notes(grid.crs)
        refuse_any(_pixel_faults(grid))
        names, name_notes = band_names(source, bands)
        refuse_any(_scale_faults(source))
        sample = sample_scene(source, windows_per_side)
        placed = datum_notes(grid.operation, grid.bbox(), f"The scene is in {grid.crs.name}")
        placed += degree_notes(grid.crs, grid.bounds, "the scene") or use_notes(grid.crs, grid.bbox(), "The scene")
        notes = (
            *_rpc_notes(layout.rpc),
            *layout.notes,
            *name_notes,
            *_loss_notes(source),
            *sample.notes,
            *said,
            *placed,
            *_oblong_notes(grid),
        )
        return _describe(path, grid, source, names, sample, notes)


def _pixel_faults(grid: Grid) -> Iterator[Fault]:
    """Yield bad_transform for pixels too small for places in them to be told apart, or larger than the Earth."""
    side = ground_sampling_distance(grid)
    if not 0 < side <= LARGEST_M:
        hint = "Export the image again with its georeference."
        yield Fault("bad_transform", f"The pixels have a side of {side:g} m on the ground.", hint)


def _scale_faults(source: RasterSource) -> Iterator[Fault]:
    if not (np.isfinite(source.scales) & np.isfinite(source.offsets) & (source.scales != 0)).all():
        detail = f"The file declares the scales {_listed(source.scales)} and the offsets {_listed(source.offsets)}."
        hint = "Scales must be numbers other than 0: gdal_edit.py -scale 1 -offset 0 in.tif"
        yield Fault("bad_scale", detail, hint)


def _listed(numbers: np.ndarray) -> str:
    return ", ".join(map(str, numbers[:8].tolist())) + (", ..." if len(numbers) > 8 else "")


def _rpc_notes(rpc: bool) -> Iterator[Note]:
    if rpc:
        detail = "The file has rational polynomials (RPC) beside its grid. They are ignored."
        hint = "Check that the image was orthorectified: its pixels must lie where the grid says."
        yield Note(code="rpc_ignored", detail=detail, hint=hint)


def _loss_notes(source: RasterSource) -> Iterator[Note]:
    """Yield lossy_nodata if a lossy compression blurs what says where there is no data."""
    compression, alpha = lossy_compression(source.dataset), source.bands < source.dataset.count
    if compression and (alpha or source.nodata is not None):
        marks = "alpha band" if alpha else f"nodata value {source.nodata}"
        detail = f"{compression} compression blurs the {marks}: pixels beside the image may count as data, others not."
        hint = "Send the original, compressed without loss (DEFLATE, LZW), or with a mask in the file."
        yield Note(code="lossy_nodata", detail=detail, hint=hint)


def _oblong_notes(grid: Grid) -> Iterator[Note]:
    """Yield oblong_pixels if one side of a pixel is over 1.5 times as long on the ground as the other."""
    high, wide = pixel_sides_m(grid)
    if max(high, wide) > _OBLONG * min(high, wide):
        detail = f"A pixel is {wide:.4g} m wide and {high:.4g} m high on the ground, so shapes are distorted for a net."
        hint = "Warp the scene to square pixels, in the UTM zone for instance: gdalwarp -t_srs EPSG:... in.tif out.tif"
        yield Note(code="oblong_pixels", detail=detail, hint=hint)


def _describe(
    path: Path, grid: Grid, source: RasterSource, names: Sequence[str], sample: Sample, notes: tuple[Note, ...]
) -> SceneInfo:
    scaling = [Scaling(scale=pair[0], offset=pair[1]) for pair in zip(source.scales, source.offsets, strict=True)]
    each = zip(names, source.descriptions, sample.statistics, scaling, strict=True)
    return SceneInfo(
        rows=grid.rows,
        cols=grid.cols,
        bands=tuple(
            BandInfo(name=name, dtype=source.dtype.name, description=text or None, statistics=known, scaling=declared)
            for name, text, known, declared in each
        ),
        dtype=source.dtype.name,
        nodata=None if source.nodata is None else float(source.nodata),
        crs=grid.crs.to_wkt(),
        crs_code=crs_code(grid.crs),
        transform=grid.transform[:6],
        bounds=grid.bounds,
        bbox=grid.bbox(),
        footprint=grid.footprint(),
        gsd=ground_sampling_distance(grid),
        size_bytes=path.stat().st_size,
        warnings=notes,
        cog=has_cog_layout(source.dataset),
    )


def ground_sampling_distance(grid: Grid) -> float:
    """Return the side of a square as large as the grid's middle pixel on the ground, in metres."""
    return pixel_side_m(grid)
