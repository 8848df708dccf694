"""What is made of a map: COGs, polygons, styles and tiles for the web. Free of torch."""
