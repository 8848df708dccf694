"""Layers of a net in C: the source, its compilation, and the choice of the library to load. Does not import torch."""
