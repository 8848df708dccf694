"""Learning and prediction on files: pure functions of paths, arrays and a frozen config.

This package uses no HTTP, no database and no queue, and only `ml.nn` imports torch. Importing any part of it hardens
GDAL, so it must be imported before a raster is opened.
"""

from ml.geo.gdal import harden

harden()
