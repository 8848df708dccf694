"""Grids, windows, areas and rasters: what knows no subject. Free of torch."""
