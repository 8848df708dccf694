"""Tests of the whole service. They are a package, so that the services they share end with the last test of it."""
