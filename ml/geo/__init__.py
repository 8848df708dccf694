"""Pixels and geography, free of torch: scenes, labels, windows, areas, polygons, COGs.

Importing any part of this package hardens GDAL, so nothing may open a raster before.
"""

from ml.geo.gdal import harden

harden()
