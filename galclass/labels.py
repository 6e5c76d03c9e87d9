"""Numbers and names of classes as figures, tables and the command line show them."""

from collections.abc import Sequence


def class_number(c: int, names: Sequence[str]) -> str:
    """Return the number of a class, counted from 1; its name if all names are numbers."""
    if _are_numbers(names):
        return names[c]
    return str(c + 1)


def class_label(c: int, names: Sequence[str]) -> str:
    """Return the number and the name of a class, on two lines if the name has a comma."""
    if _are_numbers(names):
        return names[c]
    lines = printable(names[c]).rsplit(", ", 1)  # a break after the last comma
    return f"{c + 1} " + ",\n".join(lines)


def _are_numbers(names: Sequence[str]) -> bool:
    return all(name.removeprefix("-").isdecimal() for name in names)


def printable(text: str) -> str:
    """Replace the characters that fonts cannot show, such as line breaks and surrogates."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
