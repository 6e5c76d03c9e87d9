"""A page in the browser that classifies images of galaxies, with Gradio."""

from .app import open_page

__all__ = ["open_page"]
