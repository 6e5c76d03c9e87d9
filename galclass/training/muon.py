"""Muon, the optimiser of the default recipe."""

import math
from collections.abc import Sequence
from typing import Any

from ..network._tensorflow import keras, tf

# Coefficients, number of steps and momentum of Jordan et al. 2024.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
MOMENTUM = 0.95
# Root mean square of an update, as Adam's usually is (Liu et al. 2025, equation 4).
UPDATE_SIZE = 0.2


class Muon(keras.optimizers.AdamW):
    """Momentum whose update of each kernel is made orthogonal; AdamW for all other variables.

    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with Nesterov momentum of 0.95
    and the size of update and the decoupled weight decay of Liu et al. 2025 (arXiv 2502.16982). The
    kernel of a convolution counts as a matrix of (height x width x input channels) x filters.
    Keras's own ``Muon`` leaves convolutions to AdamW.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
    exclude : str
        Layer whose kernel is left to AdamW: the output's.
    **settings
        For ``keras.optimizers.AdamW``, such as ``weight_decay``.
    """

    def __init__(self, learning_rate: Any, *, exclude: str, **settings: Any) -> None:
        super().__init__(learning_rate, **settings)
        self.exclude = exclude

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the state for variables, and note which of them are kernels to be orthogonal."""
        super().build(variables)
        self.orthogonal = {
            index
            for index, variable in enumerate(variables)
            if len(variable.shape) > 1 and self.exclude not in variable.path.split("/")
        }

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Change a variable by its gradient."""
        index = self._get_variable_index(variable)
        if index not in self.orthogonal:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[index]
        momentum.assign(MOMENTUM * momentum + gradient)
        matrix = tf.reshape(gradient + MOMENTUM * momentum, (-1, variable.shape[-1]))
        size = UPDATE_SIZE * math.sqrt(max(matrix.shape))
        update = size * orthogonalize(matrix)
        variable.assign_sub(learning_rate * tf.reshape(update, variable.shape))


def orthogonalize(matrix: tf.Tensor) -> tf.Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly: singular values of 0.7 to 1.2.

    The quintic Newton-Schulz iteration of Jordan et al. 2024, X <- X (a + b X'X + c (X'X)^2). Its
    factors are polynomials of the first X'X: they are multiplied among themselves, as small square
    matrices, and X only once. In float32 whatever the network's precision: rounded to bfloat16,
    X'X is no longer positive, and the iteration diverges.

    Parameters
    ----------
    matrix : tensor of float32, shape (m, n)

    Returns
    -------
    tensor of float32, shape (m, n)
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] < matrix.shape[1]
    x = matrix / (tf.norm(matrix) + 1e-7)
    gram = tf.matmul(x, x, transpose_a=not wide, transpose_b=wide)
    identity = product = tf.eye(gram.shape[0])
    for _ in range(STEPS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = product @ factor
        gram = gram @ factor @ factor
    return product @ x if wide else x @ product
