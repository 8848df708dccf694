"""Training of a net: chips, augmentation, losses and the training loop."""
