"""Figures: what people would rather look at. One palette everywhere: cane green, other black, unobserved grey."""

from ml.assess.figures.augmentation import draw_augmentation
from ml.assess.figures.balance import draw_balance
from ml.assess.figures.curves import draw_losses, draw_validation
from ml.assess.figures.differences import draw_differences
from ml.assess.figures.hinge import draw_hinge
from ml.assess.figures.homogenisation import draw_homogenisation
from ml.assess.figures.maps import Panel, draw_row, mask_panel, scene_panel
from ml.assess.figures.panels import draw_panels
from ml.assess.figures.samples import draw_samples
from ml.assess.figures.style import Format, Lang, drawing, render, save
from ml.assess.figures.sweep import draw_sweep
from ml.assess.figures.table import draw_table
from ml.assess.figures.unet import Layer, draw_unet, unet_layers
from ml.assess.pictures import Picture

__all__ = [
    "Format",
    "Lang",
    "Layer",
    "Panel",
    "Picture",
    "draw_augmentation",
    "draw_balance",
    "draw_differences",
    "draw_hinge",
    "draw_homogenisation",
    "draw_losses",
    "draw_panels",
    "draw_row",
    "draw_samples",
    "draw_sweep",
    "draw_table",
    "draw_unet",
    "draw_validation",
    "drawing",
    "mask_panel",
    "render",
    "save",
    "scene_panel",
    "unet_layers",
]
