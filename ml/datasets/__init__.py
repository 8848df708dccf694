"""Turn scenes and labels into masks, splits and statistics, and check them. Nothing here imports torch."""
