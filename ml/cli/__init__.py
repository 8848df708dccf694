"""What the commands of `python -m ml` take, and what they print."""
