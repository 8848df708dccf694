"""Learning and prediction on files: pure functions of paths, arrays and a frozen config.

Knows no HTTP, no database and no queue. Everything but `ml.nn` is free of torch. Importing any part of it hardens GDAL,
so nothing may open a raster before.
"""

from ml.geo.gdal import harden

harden()
