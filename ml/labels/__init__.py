"""Label layers: polygons or masks are read from files, checked, repaired and rasterised. Nothing here imports torch."""
