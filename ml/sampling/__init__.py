"""Probability samples of a map: the frame, the design, the size, the draw, and the files of the points."""
