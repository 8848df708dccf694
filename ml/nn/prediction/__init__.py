"""Exact prediction of whole scenes: rows flow through the net."""
