"""Recipes, the optimizer, and the training of a run."""
