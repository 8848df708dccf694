"""Radiometry of scenes: how it is measured, and how scenes are homogenised. Nothing here imports torch."""
