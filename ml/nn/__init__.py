"""The part of `ml` that needs torch: net, losses, training, prediction."""
