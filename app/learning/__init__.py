"""Trainings, experiments, evaluations, figures, and the registry of models."""
