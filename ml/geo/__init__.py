"""General geospatial tools: grids, windows, areas, CRS and rasters. Nothing here imports torch."""
