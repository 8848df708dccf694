"""Zones: administrative polygons, and what a map has in each of them."""
