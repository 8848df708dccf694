"""What a scene is: inspected, read by windows, its bands, its safety. Free of torch."""
