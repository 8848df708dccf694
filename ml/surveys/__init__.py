"""Surveys: many class maps as one mosaic, and how two mosaics differ."""
