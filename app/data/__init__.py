"""Scenes and labels, which are uploaded, and the datasets that are made from them for training."""
