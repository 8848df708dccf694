"""Engines, which compute the convolutions of a trained net, and the choice of an engine."""
