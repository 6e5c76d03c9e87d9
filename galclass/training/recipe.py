"""Recipes: how the network is trained."""

from dataclasses import dataclass, replace
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from ..data.arrays import check_integer
from ..errors import ParameterError

COUNTS = ("epochs", "batch_size")
SWITCHES = ("symmetries", "symmetric_prediction")
CHOICES = {"optimizer": ("adam", "muon"), "schedule": ("constant", "cosine")}
LIMITS = dict.fromkeys(("learning_rate", "warmup_epochs", "l2", "weight_decay"), inf)
LIMITS |= dict.fromkeys(("dropout", "dense_dropout", "label_smoothing", "averaging"), 1.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the network is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int, default 64
    optimizer : {"adam", "muon"}
        ``"muon"`` makes the updates of kernels orthogonal, see
        :class:`galclass.training.muon.Muon`.
    learning_rate : float, default 0.001
        Of the optimiser, or the peak of the schedule.
    schedule : {"constant", "cosine"}
        ``"cosine"`` falls to zero at the last epoch (Loshchilov & Hutter 2017, arXiv 1608.03983).
    warmup_epochs : float, default 0
        Linear rise of the learning rate from zero; at most half of the training.
    l2 : float, default 0
        L2 penalty on every kernel but the output's.
    weight_decay : float, default 0
        Decoupled weight decay on kernels (Loshchilov & Hutter 2019, arXiv 1711.05101).
    dropout, dense_dropout : float, default 0.5 and 0.3
        Dropped fractions, see :func:`galclass.build_cnn`; the published ones by default.
    label_smoothing : float, default 0
        Weight of the uniform distribution in the target (Szegedy et al. 2016, arXiv 1512.00567).
    averaging : float, default 0
        Memory of the moving average of the weights, which is what is validated and kept, as a
        share of the steps so far: at step t its decay is (1 + t) / (1 + t + 1 / averaging), so that
        at the end it holds about that last share of the training, however long this is
        (polynomial decay, Shamir & Zhang 2013, arXiv 1212.1824); 0: none.
    symmetries : bool, default False
        Whether each training image goes through a random one of the eight symmetries, a
        new one each epoch.
    symmetric_prediction : bool, default False
        Whether predictions are averaged over the eight symmetries, where one pass is less than 95 %
        sure of the class.

    Raises
    ------
    ParameterError
        A value of another type or out of range, or an unknown optimizer or schedule.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import galclass
    >>> own = galclass.Recipe(epochs=20, schedule="cosine", warmup_epochs=1, symmetries=True)
    >>> own.learning_rate
    0.001
    >>> replace(galclass.RECIPES["default"], averaging=0.2).averaging
    0.2

    ``galclass.train(images, labels, recipe=own, out="runs/own")`` follows it.
    """

    epochs: int
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.5
    dense_dropout: float = 0.3
    label_smoothing: float = 0.0
    averaging: float = 0.0
    symmetries: bool = False
    symmetric_prediction: bool = False

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            name: check_integer(getattr(self, name), name, 1) for name in COUNTS
        }
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ParameterError(f"{name}={getattr(self, name)!r}, expected one of {known}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ParameterError(f"{name}={getattr(self, name)!r}, expected True or False")
            values[name] = bool(getattr(self, name))
        for name, limit in LIMITS.items():
            value, more = getattr(self, name), name == "learning_rate"
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and 0 <= value < limit) or (more and value == 0):
                lower = "more than 0" if more else "0 or more"
                raise ParameterError(
                    f"{name}={value!r}, expected a number, {lower} and below {limit}"
                )
            values[name] = float(value)
        for name, value in values.items():  # NumPy's numbers become Python's, as JSON has them.
            object.__setattr__(self, name, value)


RECIPES = {
    # To the letter of the published notebook.
    "published": Recipe(epochs=200, l2=0.001),
    "default": Recipe(
        epochs=30,
        batch_size=128,
        optimizer="muon",
        learning_rate=0.002,
        schedule="cosine",
        warmup_epochs=2,
        weight_decay=0.05,
        dropout=0.25,
        dense_dropout=0.1,
        averaging=1 / 9,
        symmetries=True,
        symmetric_prediction=True,
    ),
}
# For some hundreds of labels (docs/own-data.md).
RECIPES["few"] = replace(RECIPES["default"], epochs=40, batch_size=32, label_smoothing=0.05)
# For a first look: of some 10,000 images in all, with smaller batches and a higher rate.
RECIPES["quick"] = replace(
    RECIPES["default"],
    epochs=7,
    batch_size=32,
    learning_rate=0.004,
    warmup_epochs=1,
    dropout=0.1,
    dense_dropout=0.0,
    label_smoothing=0.05,
    symmetric_prediction=False,
)
