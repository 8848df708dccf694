"""Readers of the formats of label layers: GeoJSON, GeoPackage and zipped Shapefiles."""
