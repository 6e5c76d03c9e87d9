"""The page as a Space of Hugging Face: with requirements.txt, whose only line is galclass[page].

A network of your own comes along as its run folder: ``open_page("runs/mine")``.
"""

from galclass.page import open_page

open_page().block_thread()
