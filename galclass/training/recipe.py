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
CHOICES = {
    "optimizer": ("adam", "muon"),
    "schedule": ("constant", "cosine"),
    "keep": ("best", "last"),
}
UPPER_LIMITS = {
    "learning_rate": inf,
    "warmup_epochs": inf,
    "l2": inf,
    "weight_decay": inf,
    "dropout": 1.0,
    "dense_dropout": 1.0,
    "label_smoothing": 1.0,
    "averaging": 1.0,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the network is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int, default 64
    optimizer : {"adam", "muon"}
        ``"muon"`` orthogonalizes the updates of kernels, see
        :class:`galclass.training.muon.Muon`.
    learning_rate : float, default 0.001
        Learning rate of the optimizer, or the maximum of the schedule.
    schedule : {"constant", "cosine"}
        ``"cosine"`` decreases to zero at the last epoch (Loshchilov & Hutter 2017, arXiv
        1608.03983).
    warmup_epochs : float, default 0
        Epochs of linear increase of the learning rate from zero, at most half of the training;
        only with the schedule ``"cosine"``.
    l2 : float, default 0
        L2 penalty on every kernel except the output's.
    weight_decay : float, default 0
        Decoupled weight decay on kernels (Loshchilov & Hutter 2019, arXiv 1711.05101).
    dropout, dense_dropout : float, default 0.5 and 0.3
        Dropout rates, see :func:`galclass.build_cnn`; the published ones by default.
    label_smoothing : float, default 0
        Weight of the uniform distribution in the target (Szegedy et al. 2016, arXiv 1512.00567).
    averaging : float, default 0
        Fraction of the training that the moving average of the weights reaches back over; 0 for
        no averaging. The average is validated and kept, instead of the weights themselves. Its
        decay at step t is (1 + t) / (1 + t + 1 / averaging) (polynomial decay, Shamir & Zhang
        2013, arXiv 1212.1824).
    keep : {"best", "last"}
        Which weights a run keeps: those of the epoch with the best validation accuracy, or those
        of the last epoch.
    symmetries : bool, default False
        Apply one of the eight symmetries, drawn at random in each epoch, to each training image.
    symmetric_prediction : bool, default False
        Average predictions over the eight symmetries where the largest probability of one pass
        is below 0.95.

    Raises
    ------
    ParameterError
        A value has the wrong type or is out of range, or a name is unknown.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import galclass
    >>> own = galclass.Recipe(epochs=20, schedule="cosine", warmup_epochs=1, symmetries=True)
    >>> own.learning_rate
    0.001
    >>> replace(galclass.RECIPES["default"], averaging=0.2).averaging
    0.2

    Train with it: ``galclass.train(images, labels, recipe=own, out="runs/own")``.
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
    keep: str = "best"
    symmetries: bool = False
    symmetric_prediction: bool = False

    def __post_init__(self) -> None:
        for name in COUNTS:
            self._set(name, check_integer(getattr(self, name), name, 1))
        for name, options in CHOICES.items():
            if getattr(self, name) not in options:
                raise ParameterError(f"{name}={getattr(self, name)!r}, expected one of {options}")
        for name in SWITCHES:
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise ParameterError(f"{name}={value!r}, expected True or False")
            self._set(name, bool(value))
        for name, limit in UPPER_LIMITS.items():
            self._set(name, self._check_number(name, limit))

    def _set(self, name: str, value: Any) -> None:
        """Set a field of this frozen dataclass to the checked value, which JSON can hold."""
        object.__setattr__(self, name, value)

    def _check_number(self, name: str, limit: float) -> float:
        value: Any = getattr(self, name)
        positive = name == "learning_rate"
        valid = isinstance(value, Real) and not isinstance(value, bool)
        if not valid or not 0 <= value < limit or (positive and value == 0):
            lower = "more than 0" if positive else "0 or more"
            raise ParameterError(f"{name}={value!r}, expected a number, {lower} and below {limit}")
        return float(value)


PUBLISHED = Recipe(epochs=200, l2=0.001, keep="last")  # exactly as in the published notebook
DEFAULT = Recipe(
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
)
# For a few hundred labels: many steps of small batches (docs/own-data.md).
FEW = replace(DEFAULT, epochs=40, batch_size=32, label_smoothing=0.05)
# For a first look, on one to two thousand galaxies: few epochs, small batches, a high rate.
QUICK = replace(
    DEFAULT,
    epochs=7,
    batch_size=32,
    learning_rate=0.004,
    warmup_epochs=1,
    dropout=0.1,
    dense_dropout=0.0,
    label_smoothing=0.05,
    symmetric_prediction=False,
)
RECIPES = {"published": PUBLISHED, "default": DEFAULT, "few": FEW, "quick": QUICK}
