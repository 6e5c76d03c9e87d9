"""Metrics, calibration and model card of a run."""
