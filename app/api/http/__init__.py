"""What all routes share: bodies and their limits, forms, problem documents, waiting, the log of requests."""
