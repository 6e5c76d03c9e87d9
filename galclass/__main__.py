"""``python -m galclass`` is the command ``galclass``."""

from .cli import main

main()
