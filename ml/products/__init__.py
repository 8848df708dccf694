"""The products made from a map: COGs, polygons, styles and web tiles. Nothing here imports torch."""
