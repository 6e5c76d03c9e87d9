"""Options of the network, for modules that must not import TensorFlow."""

from typing import Any, Literal, TypeAlias

from ..errors import ParameterError

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Symmetric: TypeAlias = bool | Literal["unsure"]


def check_symmetric(symmetric: Any) -> Symmetric:
    """Return True, False or ``"unsure"``.

    Raises
    ------
    ParameterError
        The value is not one of these.
    """
    # As keys, so that NumPy's booleans count as well.
    options: dict[Any, Symmetric] = {False: False, True: True, "unsure": "unsure"}
    try:
        return options[symmetric]
    except (KeyError, TypeError):
        raise ParameterError(f"symmetric={symmetric!r}, expected True, False or 'unsure'") from None
