"""Classes of images, as a table or, for surveys, as a folder of tables."""
