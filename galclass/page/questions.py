"""The questions that lead to the classes of Galaxy10 SDSS.

Galaxy Zoo 2's volunteers answered them: Willett et al. 2013, MNRAS 435, 2835, table 2, tasks 01,
02, 04, 07, 09 and 10; shortened.
"""

_SMOOTH_OR_DISK = "Smooth and rounded, or with features or a disk?"
_ROUNDNESS = f"{_SMOOTH_OR_DISK} Smooth. How rounded is it?"
_EDGE_ON = f"{_SMOOTH_OR_DISK} Features or a disk. A disk viewed edge-on?"
_BULGE = f"{_EDGE_ON} Yes. Does it have a bulge, and of what shape?"
_SPIRAL = f"{_EDGE_ON} No. Any sign of spiral arms?"
_TIGHTNESS = f"{_SPIRAL} Yes. How tightly wound are they?"

CLASS_QUESTIONS = (
    f"{_SPIRAL} No.",
    f"{_ROUNDNESS} Completely round.",
    f"{_ROUNDNESS} In between.",
    f"{_ROUNDNESS} Cigar shaped.",
    f"{_BULGE} Rounded.",
    f"{_BULGE} Boxy.",
    f"{_BULGE} No bulge.",
    f"{_TIGHTNESS} Tight.",
    f"{_TIGHTNESS} Medium.",
    f"{_TIGHTNESS} Loose.",
)
