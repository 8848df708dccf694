"""Kinds of work, a file each: dataset, training, experiment, evaluation, prediction and its parts."""
