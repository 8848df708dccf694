"""Predictions, their parts, and their map tiles."""
