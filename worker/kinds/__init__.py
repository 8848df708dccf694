"""The work of each kind of job, one file a kind: dataset, training, experiment, evaluation, prediction and parts."""
