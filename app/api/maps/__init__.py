"""What routes about scenes, maps and their areas share."""
