"""The accuracy of maps: metrics from confusion counts, and areas with an interval. Nothing here imports torch."""
