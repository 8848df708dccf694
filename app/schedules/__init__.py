"""Trainings that are repeated by the clock."""
