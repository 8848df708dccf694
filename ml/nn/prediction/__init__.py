"""Exact prediction of whole scenes, which pass through the net as a stream of rows."""
