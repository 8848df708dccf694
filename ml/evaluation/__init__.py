"""What a map is worth: metrics from confusion counts, and hectares with an interval. Free of torch."""
