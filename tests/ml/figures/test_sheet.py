"""A map sheet has its places, lengths and numbers right."""

from dataclasses import replace

import numpy as np
import pyproj
import pytest
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.table import Table
from shapely.geometry import Point

from ml.figures.sheet import AreaLine, Layer, Sheet, Zone, draw_sheet
from ml.figures.style import render
from ml.geo.grid import Box
from ml.products.web_grid import lonlat, world_box

WUMING: Box = (107.2, 22.8, 107.9, 23.4)
FIJI: Box = (179.7, -17.2, -179.6, -16.6)
ZONE = Zone("武鸣", shapely.box(107.25, 22.85, 107.5, 23.2))
LINE = AreaLine("武鸣", "甘蔗", 1234.56, 1300.24, (1100.1, 1500.9))


def drawn(
    box: Box = WUMING, lines: int = 1, zones: tuple[Zone, ...] = (ZONE,), title: str = "a title", line: AreaLine = LINE
) -> Figure:
    place = world_box(box)
    assert place
    layer = Layer(np.full((70, 80, 3), 128, np.uint8), place)
    facts = [("scene", "s1"), ("model", "cane:3")]
    sheet = Sheet(title, facts, [layer], [("甘蔗", (0, 200, 0))], zones, [line] * lines, ["a note"])
    return draw_sheet(sheet, "a4", "en")


def map_and_column(figure: Figure) -> tuple[Axes, Axes]:
    first, second = figure.axes
    return first, second


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def degrees(axes: Axes, x: float, y: float) -> tuple[float, float]:
    lon, lat = lonlat(np.array([x]), np.array([y]))
    return float(lon[0]), float(lat[0])


@pytest.mark.parametrize("box", [WUMING, FIJI, (20.0, 67.0, 20.2, 67.1)])
def test_the_scale_bar_is_as_long_on_the_ground_as_it_says(box: Box) -> None:
    axes, _ = map_and_column(drawn(box, zones=()))
    *_, bar = axes.lines
    (left, right), (y, _) = np.asarray(bar.get_xdata()), np.asarray(bar.get_ydata())
    middle = sum(axes.get_ylim()) / 2  # it is true there
    west, east = degrees(axes, left, middle), degrees(axes, right, middle)
    *_, length_m = pyproj.Geod(ellps="WGS84").inv(*west, *east)
    (said,) = [text for text in texts(axes) if text.endswith("m")]
    number, unit = said.split()
    assert float(number) * {"km": 1000, "m": 1}[unit] == pytest.approx(length_m, rel=0.004)
    assert y < max(axes.get_ylim())


@pytest.mark.parametrize("box", [WUMING, FIJI])
def test_the_frame_is_labelled_with_the_degrees_that_are_there(box: Box) -> None:
    axes, _ = map_and_column(drawn(box, zones=()))
    for ticks, labels, part in (
        (axes.get_xticks(), axes.get_xticklabels(), 0),
        (axes.get_yticks(), axes.get_yticklabels(), 1),
    ):
        assert len(labels) >= 1
        for place, label in zip(ticks, labels, strict=True):
            number, side = label.get_text().split("° ")
            there = degrees(axes, place if part == 0 else 0.5, place if part else 0.5)[part]
            signed = float(number) * (-1 if side in "WS" else 1)
            assert (there - signed + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_a_zone_is_drawn_where_it_lies_and_has_its_label_inside() -> None:
    axes, _ = map_and_column(drawn())
    x, y = (np.asarray(data) for data in axes.lines[0].get_data())
    corners = {tuple(np.round(degrees(axes, *place), 6)) for place in zip(x, y, strict=True)}
    assert corners == {(107.25, 22.85), (107.25, 23.2), (107.5, 22.85), (107.5, 23.2)}
    (label,) = [text for text in axes.texts if text.get_text() == "武鸣"]
    assert ZONE.outline.contains(Point(degrees(axes, *label.get_position())))


def test_the_table_has_the_hectares_and_the_mu_of_the_map() -> None:
    _, column = map_and_column(drawn())
    (table,) = [each for each in column.get_children() if isinstance(each, Table)]
    row = [cell.get_text().get_text() for (number, _), cell in sorted(table.get_celld().items()) if number == 1]
    assert row == ["武鸣", "甘蔗", "1,234.6", "18,518.4", "1,300.2", "1,100.1 – 1,500.9"]
    assert "a note" in texts(column)[-1]


@pytest.mark.parametrize("title", ["a title", "甘蔗" * 100, "W" * 200])
def test_a_title_of_any_length_is_on_the_page(title: str) -> None:
    figure = drawn(title=title)
    (text,) = figure.texts
    page = figure.bbox
    assert text.get_text() == title
    assert page.x0 < text.get_window_extent().x0 < text.get_window_extent().x1 < page.x1


def test_a_long_name_ends_with_dots_in_the_table_and_is_whole_on_the_map() -> None:
    name = "a county with a long name"
    axes, column = map_and_column(drawn(zones=(Zone(name, ZONE.outline),), line=replace(LINE, zone=name)))
    (table,) = [each for each in column.get_children() if isinstance(each, Table)]
    assert table[1, 0].get_text().get_text() == "a county wi…"
    assert name in texts(axes)


def test_rows_that_have_no_room_are_counted() -> None:
    _, column = map_and_column(drawn(lines=30))
    assert texts(column)[-1].startswith("8 more rows")


def test_a_page_has_the_size_of_its_paper_and_the_same_bytes_each_time() -> None:
    assert render(drawn(), "png", 100)[16:24] == (1169).to_bytes(4, "big") + (826).to_bytes(4, "big")
    page = render(drawn(), "pdf")
    assert page.startswith(b"%PDF") and page == render(drawn(), "pdf")
