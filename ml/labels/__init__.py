"""Layers of truth: read from polygons or rasters, judged, repaired and drawn onto a grid. Free of torch."""
