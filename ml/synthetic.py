"""Synthetic scenes with known crops, for demonstration and tests: fields, look-alike crops, haze and a colour cast.

Sugarcane and maize reflect almost the same, and two plots of one crop differ more than the crops do on average. Texture
(cane has visible rows, maize does not) and the plots around tell them apart. Scenes with different seeds lie at
different places in Guangxi, so that the plots of one scene never fall into another.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import rasterize
from shapely.geometry import LineString, MultiPoint, Polygon, box, mapping

from ml.geo.areas import polygon_area_ha
from ml.geo.crs import to_wgs84

UTM_49N = CRS("EPSG:32649")
BANDS = ("blue", "green", "red", "nir")
NODATA = 0
BLOCK_PX = 256
_WEST_M, _NORTH_M, _CELL_M, _CELLS = 224_000.0, 2_600_000.0, 5_000.0, 20

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Appearance:
    """How a surface appears.

    colour: Mean value of each band. rows_m: Distance between plant rows in metres. The other fields are contrasts
    relative to the mean. rows: Contrast of the plant rows. grain: Contrast of single pixels. clumps: Contrast of clumps
    some metres wide. between_plots: Contrast between two plots of one crop.
    """

    colour: tuple[float, float, float, float]
    rows_m: float = 4.0
    rows: float = 0.0
    grain: float = 0.03
    clumps: float = 0.03
    between_plots: float = 0.0


APPEARANCES = {
    "ground": Appearance((560, 720, 690, 1500), grain=0.08, clumps=0.08),
    "road": Appearance((1050, 1120, 1160, 1280), grain=0.04),
    "water": Appearance((520, 560, 380, 210), grain=0.03),
    "sugarcane": Appearance((430, 640, 440, 2250), rows_m=4.2, rows=0.14, grain=0.04, clumps=0.04, between_plots=0.09),
    "maize": Appearance((435, 650, 450, 2180), grain=0.11, clumps=0.03, between_plots=0.09),
    "cassava": Appearance((450, 640, 490, 2060), grain=0.04, clumps=0.12, between_plots=0.09),
    "rice": Appearance((480, 690, 470, 1850), grain=0.02, clumps=0.02, between_plots=0.07),
    "eucalyptus": Appearance((340, 450, 320, 1700), grain=0.16, clumps=0.10, between_plots=0.06),
    "fallow": Appearance((760, 920, 1080, 1420), rows_m=4.2, rows=0.05, grain=0.04, clumps=0.06, between_plots=0.10),
}
SURFACES = tuple(APPEARANCES)
GROUND, ROAD, WATER = 0, 1, 2
CROPS = {"sugarcane": 0.40, "maize": 0.17, "cassava": 0.16, "rice": 0.09, "eucalyptus": 0.08, "fallow": 0.10}
_TEXTURE_BY_BAND = np.array([0.5, 0.7, 0.6, 1.0], np.float32)
_HAZE_COLOUR = np.array([1500, 1350, 1200, 1500], np.float32)
_HAZE_BY_BAND = np.array([1.0, 0.75, 0.6, 0.2], np.float32)


@dataclass(frozen=True)
class Plot:
    """A field.

    outline: Polygon in the CRS of the scene. crop: Name of the crop, a key of `CROPS`. angle: Direction of the plant
    rows in radians.
    """

    outline: Polygon
    crop: str
    angle: float


@dataclass(frozen=True)
class SyntheticScene:
    """A synthetic scene on disk with its true crops.

    image: GeoTIFF, uint16, with the bands blue, green, red, nir. plots: GeoJSON (WGS 84) of all fields, each with its
    `crop`. truth_ha: Geodesic area of each crop in hectares, where the scene has pixels.
    """

    name: str
    image: Path
    plots: Path
    truth_ha: dict[str, float]


def make_scene(
    folder: Path, name: str, *, seed: int, size_px: int = 768, gsd_m: float = 0.8, nodata_fraction: float = 0.0
) -> SyntheticScene:
    """Write `folder/name.tif` and `folder/name.geojson`: the same bytes for the same arguments.

    seed: Seed of all random numbers and of the place; scenes of up to 5 km whose seeds differ by less than 400 do not
    overlap. size_px: Rows and columns of the scene. gsd_m: Side of a pixel in metres. nodata_fraction: Approximate
    share of pixels, in one corner, that are nodata; no plot reaches into this corner.
    """
    random = np.random.default_rng(seed)
    grid = _grid(seed, gsd_m)
    extent = _extent(grid, size_px, nodata_fraction)
    plots, surroundings = _landscape(random, extent)
    image = _render(random, plots, surroundings, grid, size_px)
    _outside(image, extent, grid)
    folder.mkdir(parents=True, exist_ok=True)
    scene = SyntheticScene(name, folder / f"{name}.tif", folder / f"{name}.geojson", _truth_ha(plots))
    _write_image(scene.image, image, grid)
    _write_plots(scene.plots, plots)
    return scene


def _grid(seed: int, gsd_m: float) -> Affine:
    """The affine transform of the scene with this seed, whose origin is the corner of a cell of 5 km."""
    row, col = divmod(seed % _CELLS**2, _CELLS)
    return Affine(gsd_m, 0, _WEST_M + col * _CELL_M, 0, -gsd_m, _NORTH_M - row * _CELL_M)


def _extent(grid: Affine, size_px: int, nodata_fraction: float) -> Polygon:
    """The area where the scene has data: its square without a triangle at the upper left corner."""
    west, north = grid @ (0, 0)
    side = size_px * grid.a
    cut = side * (2 * nodata_fraction) ** 0.5
    corner = Polygon([(west, north), (west + cut, north), (west, north - cut)])
    extent: Polygon = box(west, north - side, west + side, north).difference(corner)
    return extent


# --- the landscape, as shapes ---------------------------------------------------------------------------------------


def _landscape(random: np.random.Generator, extent: Polygon) -> tuple[list[Plot], list[tuple[Polygon, int]]]:
    """Fields in blocks with one direction each, and the surfaces around them: roads between the blocks, and a river."""
    west, south, east, north = extent.bounds
    side = east - west
    centres = MultiPoint(random.uniform((west, south), (east, north), size=(5, 2)))
    blocks = shapely.voronoi_polygons(centres, extend_to=extent.buffer(side)).geoms
    course = np.linspace(-0.1, 1.1, 40)
    bends = 0.25 + 0.5 * random.random() + 0.06 * np.sin(course * random.uniform(4, 9) + random.uniform(0, 6))
    river = LineString(np.stack([west + side * bends, south + side * course], 1)).buffer(side * 0.016)
    land = extent.difference(river.buffer(6))
    plots = [plot for block in blocks for plot in _fields(random, block.buffer(-5).intersection(land))]
    roads = [(LineString(block.exterior.coords).buffer(2.5), ROAD) for block in blocks]
    return plots, [*roads, (river, WATER)]


def _fields(random: np.random.Generator, block: Polygon) -> Iterator[Plot]:
    """The fields of a block, which is cut into strips along a random direction and then across, with paths between."""
    angle = random.uniform(0, np.pi)
    centre = block.centroid
    upright = shapely.affinity.rotate(block, -angle, origin=centre, use_radians=True)
    west, south, east, north = upright.bounds
    for bottom, top in _cuts(random, south, north, 35, 75):
        for left, right in _cuts(random, west, east, 50, 150):
            crop = str(random.choice(list(CROPS), p=list(CROPS.values())))
            field = shapely.affinity.rotate(box(left, bottom, right, top), angle, origin=centre, use_radians=True)
            for part in shapely.get_parts(field.intersection(block)):
                if isinstance(part, Polygon) and part.area > 400:
                    yield Plot(part, crop, angle)


def _cuts(
    random: np.random.Generator, start: float, end: float, least: float, most: float
) -> Iterator[tuple[float, float]]:
    """Intervals of random length from `start` to `end`, in metres, with a path of three metres after each."""
    while start < end:
        stop = start + random.uniform(least, most)
        yield start, min(stop, end)
        start = stop + 3.0


# --- the landscape, as pixels ---------------------------------------------------------------------------------------


def _render(
    random: np.random.Generator,
    plots: list[Plot],
    surroundings: list[tuple[Polygon, int]],
    grid: Affine,
    size_px: int,
) -> NDArray[np.uint16]:
    """The pixels of the scene, uint16 (4, size_px, size_px)."""
    shape = (size_px, size_px)
    backdrop = rasterize(surroundings, shape, fill=GROUND, transform=grid, dtype="int32")
    # The pixels of plot n, counted from 1, have the number n; 0 is the backdrop. Every property is then one look-up.
    numbers = rasterize(
        [(plot.outline, number) for number, plot in enumerate(plots, 1)], shape, transform=grid, dtype="int32"
    )
    crops = np.array([GROUND] + [SURFACES.index(plot.crop) for plot in plots])
    angles = np.array([0.0] + [plot.angle for plot in plots], np.float32)[numbers]
    surface = np.where(numbers > 0, crops[numbers], backdrop)
    texture = _texture(random, surface, angles, grid.a)
    brightness = _between_plots(random, crops)[numbers]
    colour = np.array([appearance.colour for appearance in APPEARANCES.values()], np.float32)[surface]
    image = colour * (brightness * (1 + texture[..., None] * _TEXTURE_BY_BAND))
    image = np.stack([_smooth(image[..., band], 0.5) for band in range(len(BANDS))], -1)
    image = _through_the_air(random, image)
    return np.clip(image, NODATA + 1, np.iinfo(np.uint16).max).astype(np.uint16).transpose(2, 0, 1)


def _texture(random: np.random.Generator, surface: NDArray[np.int64], angles: Image, gsd_m: float) -> Image:
    """Relative contrast of each pixel within its surface, shape (rows, cols), with a mean of about 0."""

    def of(name: str) -> Image:
        return np.array([getattr(appearance, name) for appearance in APPEARANCES.values()], np.float32)[surface]

    rows, cols = np.indices(surface.shape, dtype=np.float32) * gsd_m
    wobble = _noise(random, surface.shape, 12.0 / gsd_m)
    across = cols * np.sin(angles) + rows * np.cos(angles)
    furrows = np.sin(2 * np.pi * across / of("rows_m") + wobble)
    grain, clumps = _noise(random, surface.shape, 0.0), _noise(random, surface.shape, 2.4 / gsd_m)
    texture: Image = of("rows") * furrows + of("grain") * grain + of("clumps") * clumps
    return texture


def _between_plots(random: np.random.Generator, crops: NDArray[np.int64]) -> Image:
    """Relative brightness of each plot by band, about 1, shape (plots + 1, 4); entry 0 is the backdrop.

    Age, soil and water differ from plot to plot.
    """
    spread = np.array([appearance.between_plots for appearance in APPEARANCES.values()], np.float32)[crops, None]
    common, own = random.standard_normal((len(crops), 1)), random.standard_normal((len(crops), len(BANDS)))
    return (1 + spread * (0.8 * common + 0.5 * own)).clip(0.6, 1.4).astype(np.float32)


def _through_the_air(random: np.random.Generator, image: Image) -> Image:
    """Add haze that thickens in one direction, a colour cast of the whole scene, and sensor noise."""
    rows, cols = np.indices(image.shape[:2], dtype=np.float32) / max(image.shape)
    direction = random.uniform(0, 2 * np.pi)
    slope = 0.5 + (rows - 0.5) * np.sin(direction) + (cols - 0.5) * np.cos(direction)
    clouds = 0.15 * _noise(random, image.shape[:2], max(image.shape) / 8)
    veil = (random.uniform(0.1, 0.3) * (slope + clouds)).clip(0, 0.6)[..., None] * _HAZE_BY_BAND
    cast = random.uniform(0.92, 1.1, len(BANDS)).astype(np.float32)
    hazy: Image = (image * (1 - veil) + _HAZE_COLOUR * veil) * cast
    hazy *= 1 + 0.012 * random.standard_normal(image.shape, dtype=np.float32)
    return hazy


def _noise(random: np.random.Generator, shape: tuple[int, ...], radius_px: float) -> Image:
    """Noise of mean 0 and standard deviation 1, blurred by a Gaussian of standard deviation `radius_px` pixels."""
    white = random.standard_normal(shape, dtype=np.float32)
    smooth = _smooth(white, radius_px) if radius_px else white
    noise: Image = (smooth - smooth.mean()) / smooth.std()
    return noise


def _smooth(values: Image, radius_px: float) -> Image:
    """Gaussian blur with standard deviation `radius_px`, by Fourier transform; the edges wrap around."""
    rows, cols = np.fft.fftfreq(values.shape[0])[:, None], np.fft.rfftfreq(values.shape[1])
    passes = np.exp(-2 * (np.pi * radius_px) ** 2 * (rows**2 + cols**2))
    smooth: Image = np.fft.irfft2(np.fft.rfft2(values) * passes, values.shape).astype(np.float32)
    return smooth


def _outside(image: NDArray[np.uint16], extent: Polygon, grid: Affine) -> None:
    """Set all pixels outside the extent to nodata, in place."""
    image[:, rasterize([extent], image.shape[1:], transform=grid) == 0] = NODATA


# --- files ----------------------------------------------------------------------------------------------------------


def _write_image(path: Path, image: NDArray[np.uint16], grid: Affine) -> None:
    count, rows, cols = image.shape
    shape = {"count": count, "height": rows, "width": cols, "dtype": "uint16", "nodata": NODATA}
    place = {"crs": UTM_49N.to_string(), "transform": grid}
    tiles = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "predictor": 2}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **tiles) as target:
        target.write(image)
        target.descriptions = BANDS


def _write_plots(path: Path, plots: list[Plot]) -> None:
    features = [
        {"type": "Feature", "properties": {"crop": plot.crop}, "geometry": mapping(_in_wgs84(plot.outline))}
        for plot in plots
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def _truth_ha(plots: list[Plot]) -> dict[str, float]:
    hectares = dict.fromkeys(CROPS, 0.0)
    for plot, area_ha in zip(plots, polygon_area_ha(np.array([p.outline for p in plots]), UTM_49N), strict=True):
        hectares[plot.crop] += float(area_ha)
    return hectares


def _in_wgs84(outline: Polygon) -> Polygon:
    geographic: Polygon = shapely.transform(outline, to_wgs84(UTM_49N).transform, interleaved=False)
    return geographic
