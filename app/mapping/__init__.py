"""Predictions, their parts, and their tiles."""
