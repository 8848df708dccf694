"""Trainings, experiments, evaluations, and the registry of models."""
