"""Scenes: inspection, reading by windows, band names and safety checks. Nothing here imports torch."""
