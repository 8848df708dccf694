"""Draws a sample of a map by a design: frame, size, allocation, points."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ml.contract import ClassDef
from ml.faults import Fault, InputRefused, Note
from ml.geo.areas import pixel_area_ha
from ml.geo.grid import Grid
from ml.geo.watched import WatchedRows
from ml.progress import Watch, silent
from ml.provenance import software
from ml.sampling.allocation import Counts
from ml.sampling.clusters import draw_clusters, map_values
from ml.sampling.design import MOST_POINTS, WHOLE, Design, DrawnSample, Frame, SamplePoint
from ml.sampling.draw import Ints, Pixels, cell_for, draw_grid, draw_strata, generator
from ml.sampling.frame import Counted, map_grid, read_cells, read_frame
from ml.sampling.plan import BY_PROBABILITY, ErrorRates, Plan
from ml.sampling.probability_strata import STRATA, write_strata
from ml.zones.numbering import ZoneNumbers
from ml.zones.read import Zones

_DECIMALS = 7  # of a degree, which is a centimetre


def draw_sample(
    classes: Path,
    names: Sequence[ClassDef],
    design: Design,
    rates: ErrorRates,
    watch: Watch = silent,
    probability: Path | None = None,
    zones: Zones | None = None,
) -> tuple[DrawnSample, Sequence[SamplePoint]]:
    """Draw a sample of a class map.

    classes: Path of the uint8 map. names: All its classes. rates: From which the size, the allocation by Neyman, and
    the expected precision follow. watch: Told of the stage "draw", which counts the rows of all readings.
    probability: Path of the probability of the map, for strata by it. zones: For strata by zone.

    Raises:
        InputRefused: empty_map, no_error_rates, no_zones_here, sample_too_small, sample_too_large, target_out_of_reach.
    """
    if design.kind == "stratified" and design.strata == "probability":
        if probability is None:
            raise ValueError("strata by probability need the probability of the map")
        return _by_probability(classes, names, design, probability, watch)
    if design.kind == "stratified":
        return _by_class(classes, names, design, rates, watch, zones)
    return _of_whole_map(classes, names, design, rates, watch)


def _of_whole_map(
    classes: Path, names: Sequence[ClassDef], design: Design, rates: ErrorRates, watch: Watch
) -> tuple[DrawnSample, Sequence[SamplePoint]]:
    """Draw a sample without strata: clusters, a systematic one or a simple random one."""
    grid = map_grid(classes)
    rows = WatchedRows(watch, "draw", (3 if design.kind == "cluster" else 2) * grid.rows)
    frame = read_frame(classes, names, "whole map", rows.of(""))
    plan = Plan(frame, design, rates)
    counts = plan.counts()
    inclusion = clusters = None
    if design.kind == "cluster":
        clusters = draw_clusters(
            classes, design.cluster_px, design.per_cluster, int(counts.sum()), frame, design.seed, rows.of("")
        )
        pixels, counts = clusters.pixels, np.array([clusters.cluster.size], dtype=np.int64)
        inclusion = clusters.drawn / clusters.blocks * design.per_cluster / design.cluster_px**2
    elif design.kind == "systematic":
        cell = cell_for(frame.pixels, int(counts.sum()))
        pixels, inclusion = draw_grid(classes, cell, frame, design.seed, rows.of(""))
        counts = _checked_grid(pixels, frame)
    else:
        random = generator(frame, design.seed)
        pixels, _ = draw_strata(classes, plan.stratum_of(), plan.pixels, counts, random, rows.of(""))
    strata = plan.strata(counts, inclusion)
    if clusters:
        strata = tuple(stratum.model_copy(update={"clusters": clusters.blocks}) for stratum in strata)
    drawn = DrawnSample(
        frame=frame,
        strata=strata,
        expected=plan.expected(counts),
        why=plan.why,
        software=software(),
        crs=grid.crs.to_wkt(),
    )
    rows.end()
    return drawn, _points(pixels, grid, [WHOLE] * pixels.rows.size, None if clusters is None else clusters.cluster)


def _by_class(
    classes: Path, names: Sequence[ClassDef], design: Design, rates: ErrorRates, watch: Watch, layer: Zones | None
) -> tuple[DrawnSample, tuple[SamplePoint, ...]]:
    """Draw from the classes of the map, or from its classes in each zone."""
    grid = map_grid(classes)
    rows = WatchedRows(watch, "draw", 2 * grid.rows)
    zones = _numbers(design, layer, grid)
    rule = f"strata: {design.strata}" + (f" {[code for code, _ in zones.names]}" if zones else "")
    counted = read_cells(classes, names, rule, rows.of(""), zones)
    if zones and not any(cell.zone for cell in counted.cells):
        hint = (
            "Name zones that the map shows, or draw without zones. The zones may have another CRS than their file says."
        )
        raise InputRefused(Fault("no_zones_here", "No zone has a pixel with a class on the map.", hint, "/zones"))
    plan = Plan(counted.frame, design, rates, counted.cells, zones.names if zones else ())
    counts = plan.counts()
    random = generator(counted.frame, design.seed)
    pixels, numbers = draw_strata(classes, plan.stratum_of(zones), plan.pixels, counts, random, rows.of(""))
    strata = plan.strata(counts, None)
    drawn = DrawnSample(
        frame=counted.frame,
        strata=strata,
        expected=plan.expected(counts),
        why=plan.why,
        notes=(*plan.notes(), *_overlaps(counted)),
        software=software(),
        crs=grid.crs.to_wkt(),
    )
    rows.end()
    return drawn, _points(pixels, grid, [strata[number].key for number in numbers.tolist()], None)


def _numbers(design: Design, zones: Zones | None, grid: Grid) -> ZoneNumbers | None:
    if design.strata != "class_x_zone":
        return None
    if zones is None:
        raise ValueError("strata by zone need the zones")
    return ZoneNumbers(zones, grid)


def _overlaps(counted: Counted) -> Iterator[Note]:
    if counted.several:
        detail = f"{counted.several} pixels lie in several zones that are no parts of each other."
        hint = "For the strata they belong to the first of these in the layer. The report of the zones lists overlaps."
        yield Note(code="zones_overlap", detail=detail, hint=hint)


def _by_probability(
    classes: Path, names: Sequence[ClassDef], design: Design, probability: Path, watch: Watch
) -> tuple[DrawnSample, tuple[SamplePoint, ...]]:
    """Draw from ranges of probability: the map of the ranges is made beside the class map, and is the frame."""
    grid, ranges = map_grid(classes), classes.with_name(classes.name + ".strata")
    rows = WatchedRows(watch, "draw", 5 * grid.rows)
    frame = read_frame(classes, names, f"strata: {design.strata}", rows.of(""))
    try:
        write_strata(classes, probability, ranges, rows.of(""))
        of_ranges = read_frame(ranges, STRATA, frame.sha256, rows.of(""))
        plan = Plan(of_ranges, design, ErrorRates(why=BY_PROBABILITY))
        counts = plan.counts()
        random = generator(of_ranges, design.seed)
        pixels, numbers = draw_strata(ranges, plan.stratum_of(), plan.pixels, counts, random, rows.of(""))
    finally:
        ranges.unlink(missing_ok=True)
    mapped = map_values(classes, pixels.rows, pixels.cols, rows.of("")).astype(np.int64)
    strata, notes = plan.strata(counts, None), tuple(plan.notes())
    drawn = DrawnSample(
        frame=frame, strata=strata, why=plan.why, notes=notes, software=software(), crs=grid.crs.to_wkt()
    )
    rows.end()
    keys = [strata[number].key for number in numbers.tolist()]
    return drawn, _points(Pixels(pixels.rows, pixels.cols, mapped), grid, keys, None)


def _checked_grid(pixels: Pixels, frame: Frame) -> Counts:
    """The number of points of a systematic sample. Raises `InputRefused` if chance gave too few."""
    n = pixels.rows.size
    if n < 2 or n > MOST_POINTS:
        detail = f"The grid takes {n} pixels of the map, which has {frame.pixels}."
        hint = f"Ask for another number of points, or take another seed; at most {MOST_POINTS} points are drawn."
        raise InputRefused(Fault("bad_grid", detail, hint, "/design/n"))
    return np.array([n], dtype=np.int64)


def _points(pixels: Pixels, grid: Grid, strata: Sequence[str], clusters: Ints | None) -> tuple[SamplePoint, ...]:
    x, y = grid.xy(pixels.cols + 0.5, pixels.rows + 0.5)
    lon, lat = (np.round(np.asarray(each), _DECIMALS).tolist() for each in grid.operation.transformer.transform(x, y))
    of_cluster = [None] * len(lon) if clusters is None else clusters.tolist()
    area_ha = pixel_area_ha(grid, pixels.rows + 0.5, pixels.cols + 0.5).tolist()
    columns = {
        "lon": lon,
        "lat": lat,
        "row": pixels.rows.tolist(),
        "col": pixels.cols.tolist(),
        "map_class": pixels.classes.tolist(),
        "cluster": of_cluster,
        "stratum": strata,
        "area_ha": area_ha,
    }
    rows = zip(*columns.values(), strict=True)
    return tuple(SamplePoint(id=number, **dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, 1))
