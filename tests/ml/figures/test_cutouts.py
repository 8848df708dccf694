"""Figures with pictures have the right colours at the right places."""

import numpy as np
from matplotlib.lines import Line2D

from ml.contract import BINARY, ClassDef
from ml.figures.augmentation import draw_augmentation
from ml.figures.cutouts import Picture
from ml.figures.homogenisation import draw_homogenisation
from ml.figures.painting import coloured
from ml.figures.panels import COMMISSION, OMISSION, draw_panels, error_map
from ml.figures.samples import draw_samples
from ml.products.palette import CANE, OTHER, UNOBSERVED
from tests.ml.figures.drawn import SIDE, picture, points, texts

CLASSES = (*BINARY, ClassDef(value=7, name="cassava", colour="#010203"))


def test_a_mask_has_the_colours_of_its_classes() -> None:
    image = coloured(np.array([[0, 1, 255, 7]], dtype=np.uint8), CLASSES)
    assert [tuple(pixel) for pixel in image[0]][1:] == [CANE, UNOBSERVED, (1, 2, 3)]


def test_samples_have_their_masks_beside_them() -> None:
    figure = draw_samples([picture(f"scene {number}") for number in range(4)], BINARY)
    shown = [axes for axes in figure.axes if axes.images]
    assert (len(figure.axes), len(shown)) == (12, 8)  # two rows of three pairs, two of them empty
    assert tuple(np.asarray(shown[1].images[0].get_array())[-1, 0]) == CANE
    assert {"scene 3", "truth", "sugarcane", "unlabelled"} <= set(texts(figure))


def peak(line: Line2D) -> float:
    across, up = points(line)
    return float(across[up.argmax()])


def test_histograms_show_the_pixel_values_of_each_scene() -> None:
    scenes = [picture("dark", level=40), picture("bright", level=200)]
    figure = draw_homogenisation(scenes, [picture("dark"), picture("bright")])
    before, after = figure.axes[4], figure.axes[7]
    assert [before.get_title(), after.get_title()] == ["channel 1: before", "channel 1: after"]
    assert [peak(line) for line in before.lines] == [40, 200]
    assert [peak(line) for line in after.lines] == [100, 100]
    assert points(before.lines[0])[1].max() == 100  # percent


def test_unobserved_pixels_are_in_no_histogram() -> None:
    scene = picture(level=100)
    scene.image[: SIDE // 2] = UNOBSERVED
    before = draw_homogenisation([scene], [scene]).axes[2]
    assert points(before.lines[0])[1].max() == 100


def test_augmentations_are_named_and_the_rejected_one_is_marked() -> None:
    figure = draw_augmentation({"as it is": picture(), "colour_jitter": picture()}, BINARY)
    assert {"as it is", "colour jitter\n(off by default)"} <= set(texts(figure))
    assert tuple(np.asarray(figure.axes[2].images[0].get_array())[0, 0]) == UNOBSERVED


def test_both_kinds_of_errors_have_colours_and_unknown_pixels_are_not_errors() -> None:
    truth = np.array([[1, 0, 1, 0, 255, 1]], dtype=np.uint8)
    mapped = np.array([[0, 1, 1, 0, 1, 255]], dtype=np.uint8)
    found = [tuple(pixel) for pixel in error_map(truth, mapped, BINARY)[0]]
    dimmed = tuple(part // 2 for part in CANE)
    assert found == [OMISSION, COMMISSION, dimmed, OTHER, UNOBSERVED, UNOBSERVED]


def test_panels_show_image_and_truth_and_maps_and_their_errors() -> None:
    scene = picture()
    maps = {"CE": scene.masks["truth"], "Lovász": np.ones((SIDE, SIDE), dtype=np.uint8)}
    scores = {"CE": {"accuracy": 0.8942, "iou": None, "kappa": 0.778}}
    figure = draw_panels(scene, maps, BINARY, scores=scores)
    assert sum(bool(axes.images) for axes in figure.axes) == 6
    assert {"image: scene", "truth", "CE\nOA 0.894  kappa 0.778", "Lovász", "5 m"} <= set(texts(figure))
    assert "omission: sugarcane missed" in texts(figure)


def test_panels_of_many_classes_have_no_row_of_errors_and_no_scale_bar_without_a_pixel_size() -> None:
    scene = Picture("scene", picture().image, picture().masks)
    figure = draw_panels(scene, {"CE": scene.masks["truth"]}, CLASSES)
    assert len(figure.axes) == 3
    assert not any(text.endswith(" m") for text in texts(figure))
