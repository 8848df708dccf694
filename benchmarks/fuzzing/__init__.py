"""Structured mutations of the files that strangers upload. Each is a pure function of its parent and of a seed."""
