"""Connects ml to app: claims a job, fetches its files, calls one function of ml, stores and records the result."""
