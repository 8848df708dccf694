"""Training: chips, augmentation, losses, and the loop."""
