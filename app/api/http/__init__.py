"""Everything that the routes share: request bodies and their limits, forms, problems, waiting, and the request log."""
