"""Learning and prediction on files: pure functions of paths, arrays and a frozen config.

Knows no HTTP, no database and no queue. Everything but `ml.nn` is free of torch.
"""
