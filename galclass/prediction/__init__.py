"""Predict the classes of images: into a table, or a folder of tables for surveys."""
