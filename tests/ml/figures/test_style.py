"""All figures can be saved in both formats, in both languages, from any thread."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ml.contract import BINARY
from ml.figures import texts as texts_module
from ml.figures.augmentation import draw_augmentation
from ml.figures.balance import draw_balance
from ml.figures.curves import draw_losses, draw_validation
from ml.figures.differences import draw_differences
from ml.figures.hinge import draw_hinge
from ml.figures.homogenisation import draw_homogenisation
from ml.figures.panels import draw_panels
from ml.figures.samples import draw_samples
from ml.figures.style import drawing, render
from ml.figures.sweep import draw_sweep
from ml.figures.table import draw_table
from ml.figures.unet import draw_unet
from tests.ml.figures.drawn import compared, difference, picture, texts, training

_BEFORE, _COLOURS = {"other": 6154, "sugarcane": 3846}, {"other": (0, 0, 0), "sugarcane": (76, 175, 80)}
_AREAS, _SCORES = {"other": 61.5, "sugarcane": 38.5}, {"CE": {"accuracy": 0.9, "iou": 0.7, "kappa": 0.7}}
_PICTURE = picture()
DRAWN: dict[str, Callable[..., Figure]] = {
    "samples": lambda **lang: draw_samples([_PICTURE], BINARY, **lang),
    "balance": lambda **lang: draw_balance(_BEFORE, None, _COLOURS, area_ha=_AREAS, **lang),
    "homogenisation": lambda **lang: draw_homogenisation([_PICTURE], [_PICTURE], **lang),
    "augmentation": lambda **lang: draw_augmentation({"flip": _PICTURE}, BINARY, **lang),
    "hinge": draw_hinge,
    "unet": lambda **lang: draw_unet(4, 1, 8, 1, 64, **lang),
    "losses": lambda **lang: draw_losses({"CE": [training()]}, **lang),
    "validation": lambda **lang: draw_validation({"CE": [training()]}, **lang),
    "panels": lambda **lang: draw_panels(_PICTURE, {"CE": _PICTURE.masks["truth"]}, BINARY, scores=_SCORES, **lang),
    "table": lambda **lang: draw_table([compared("CE", 0.9)], **lang),
    "differences": lambda **lang: draw_differences([difference("b", "iou", 0.1, (0, 0.2))], **lang),
    "sweep": lambda **lang: draw_sweep([(0.5, 0, {"iou": 0.7})], **lang),
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_figure_has_chinese_texts_without_a_missing_glyph(name: str) -> None:
    figure = DRAWN[name](lang="zh")
    figure.set_layout_engine("none")  # this is quicker, and the layout does not matter here
    figure.draw_without_rendering()  # a glyph that no font has is a warning, and so an error here
    assert re.search("[\u4e00-\u9fff]", "".join(texts(figure)))
    assert not re.search(r"\b(OA|ha)\b", " ".join(texts(figure))), "abbreviations of English"


def test_without_a_font_with_chinese_figures_are_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "HAS_CHINESE", False)
    assert "overall accuracy" in texts(draw_table([compared("CE", 0.9)], lang="zh"))


def test_a_figure_is_rendered_as_png_or_svg() -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, "甘蔗 $5$ or $")
    assert imread(BytesIO(render(figure, "png"))).shape == (110, 220, 4)
    assert ElementTree.fromstring(render(figure, "svg")).tag.endswith("svg")


def test_the_same_figure_gives_the_same_bytes() -> None:
    def figure() -> Figure:
        drawn = Figure(figsize=(2, 1))
        drawn.subplots().plot([0, 1], marker="o")  # the marker has an id in the file
        return drawn

    assert render(figure(), "svg") == render(figure(), "svg")


def test_threads_may_draw_at_once_and_one_may_render_while_it_holds_the_lock() -> None:
    def draw(number: int) -> bytes:
        with drawing():
            figure = Figure(figsize=(1, 1))
            figure.text(0.5, 0.5, str(number))
            return render(figure, "svg")

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 8
