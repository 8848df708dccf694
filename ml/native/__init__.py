"""Layers of a net in C: the source, how it is compiled, and which library a machine loads. Free of torch."""
