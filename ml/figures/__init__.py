"""Figures: what people would rather look at. One palette everywhere: cane green, other black, unobserved grey."""

from ml.figures.augmentation import draw_augmentation
from ml.figures.balance import draw_balance
from ml.figures.curves import draw_losses, draw_validation
from ml.figures.cutouts import Picture
from ml.figures.differences import draw_differences
from ml.figures.hinge import draw_hinge
from ml.figures.homogenisation import draw_homogenisation
from ml.figures.maps import Panel, draw_row, mask_panel, scene_panel
from ml.figures.panels import draw_panels
from ml.figures.samples import draw_samples
from ml.figures.style import Format, Lang, drawing, render, save
from ml.figures.sweep import draw_sweep
from ml.figures.table import draw_table
from ml.figures.unet import Layer, draw_unet, unet_layers

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
