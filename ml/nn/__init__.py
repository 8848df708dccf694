"""The subpackage of `ml` that needs torch: the net, its losses, training, prediction and evaluation."""
