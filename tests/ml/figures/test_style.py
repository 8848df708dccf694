"""All figures: saved in both formats, in both languages, from any thread."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ml import figures
from ml.contract import BINARY
from ml.figures import drawing, render, save
from ml.figures import texts as texts_module
from tests.ml.figures.drawn import compared, difference, picture, run, texts

_BEFORE, _COLOURS = {"other": 6154, "sugarcane": 3846}, {"other": (0, 0, 0), "sugarcane": (76, 175, 80)}
_PICTURE = picture()
DRAWN: dict[str, Callable[..., Figure]] = {
    "samples": lambda **lang: figures.draw_samples([_PICTURE], BINARY, **lang),
    "balance": lambda **lang: figures.draw_balance(_BEFORE, None, _COLOURS, **lang),
    "homogenisation": lambda **lang: figures.draw_homogenisation([_PICTURE], [_PICTURE], **lang),
    "augmentation": lambda **lang: figures.draw_augmentation({"flip": _PICTURE}, BINARY, **lang),
    "hinge": figures.draw_hinge,
    "unet": lambda **lang: figures.draw_unet(4, 1, 8, 1, 64, **lang),
    "losses": lambda **lang: figures.draw_losses({"CE": [run()]}, **lang),
    "validation": lambda **lang: figures.draw_validation({"CE": [run()]}, **lang),
    "panels": lambda **lang: figures.draw_panels(_PICTURE, {"CE": _PICTURE.masks["truth"]}, BINARY, **lang),
    "table": lambda **lang: figures.draw_table([compared("CE", 0.9)], **lang),
    "differences": lambda **lang: figures.draw_differences([difference("b", "iou", 0.1, (0, 0.2))], **lang),
    "sweep": lambda **lang: figures.draw_sweep([(0.5, 0, {"iou": 0.7})], **lang),
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_figure_speaks_chinese_without_a_missing_glyph(name: str) -> None:
    figure = DRAWN[name](lang="zh")
    figure.set_layout_engine("none")  # quicker, and no matter here
    figure.draw_without_rendering()  # a glyph that no font has is a warning, and so an error here
    assert re.search("[\u4e00-\u9fff]", "".join(texts(figure)))


def test_without_a_font_with_chinese_figures_are_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "HAS_CHINESE", False)
    assert "overall accuracy" in texts(figures.draw_table([compared("CE", 0.9)], lang="zh"))


def test_a_figure_is_saved_as_png_or_svg_to_a_file_or_a_buffer(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, "甘蔗 $5$ or $")
    save(figure, tmp_path / "figure.png", "png")
    assert imread(tmp_path / "figure.png").shape == (110, 220, 4)
    buffer = BytesIO()
    save(figure, buffer, "svg")
    assert ElementTree.fromstring(buffer.getvalue()).tag.endswith("svg")


def test_the_same_figure_gives_the_same_bytes() -> None:
    def figure() -> Figure:
        drawn = Figure(figsize=(2, 1))
        drawn.subplots().plot([0, 1], marker="o")  # its marker gets an id in the file
        return drawn

    assert render(figure(), "svg") == render(figure(), "svg")


def test_threads_may_draw_at_once_and_one_may_hold_matplotlib_while_it_saves() -> None:
    def draw(number: int) -> bytes:
        with drawing():
            figure = Figure(figsize=(1, 1))
            figure.text(0.5, 0.5, str(number))
            return render(figure, "svg")

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 8
