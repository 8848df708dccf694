"""Areas and accuracies that are estimated from a probability sample of the mapped ground; one estimator a file."""
