"""Ways to compute the convolutions of a net that is no longer trained, and the choice among them."""
