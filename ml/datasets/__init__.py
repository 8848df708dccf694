"""Scenes and labels made into masks, splits and statistics, and checked. Free of torch."""
