"""The page as a Space of Hugging Face; the only line of its requirements.txt is galclass[page].

To use your own network, add its run folder: ``open_page("runs/mine")``.
"""

from galclass.page import open_page

open_page().block_thread()
