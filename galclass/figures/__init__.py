"""The figures of galaxies and of runs."""
