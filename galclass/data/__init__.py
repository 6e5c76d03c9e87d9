"""Galaxies: the published file, simulated ones, and any image made into a network's input."""
