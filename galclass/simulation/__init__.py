"""Galaxies from a physical model, and the colour stretch of SDSS."""
