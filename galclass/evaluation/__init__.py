"""What a run amounts to, measured on its test galaxies."""
