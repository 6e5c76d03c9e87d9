"""Muon, the optimizer of the default recipe."""

import math
from collections.abc import Sequence
from typing import Any

from ..network._tensorflow import keras, tf

# Coefficients, number of iterations and momentum of Jordan et al. 2024.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
# Root mean square of an update, similar to Adam's (Liu et al. 2025, equation 4).
UPDATE_SIZE = 0.2


class Muon(keras.optimizers.AdamW):
    """Momentum with orthogonalized updates of kernels; AdamW for all other variables.

    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with Nesterov momentum of 0.95,
    and with the update size and the decoupled weight decay of Liu et al. 2025 (arXiv 2502.16982).
    The kernel of a convolution is a matrix of (height x width x input channels) rows and one
    column per filter. Keras's own ``Muon`` leaves convolutions to AdamW.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
    exclude : str
        Layer whose kernel is left to AdamW: the output layer.
    **settings
        Settings of ``keras.optimizers.AdamW``, such as ``weight_decay``.
    """

    def __init__(self, learning_rate: Any, *, exclude: str, **settings: Any) -> None:
        super().__init__(learning_rate, **settings)
        self.exclude = exclude

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the state, and remember which variables are kernels to orthogonalize."""
        super().build(variables)
        self.kernels = set()
        for index, variable in enumerate(variables):
            layers = variable.path.split("/")
            if len(variable.shape) > 1 and self.exclude not in layers:
                self.kernels.add(index)

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one variable."""
        index = self._get_variable_index(variable)
        if index not in self.kernels:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[index]
        momentum.assign(MOMENTUM * momentum + gradient)
        matrix = tf.reshape(gradient + MOMENTUM * momentum, (-1, variable.shape[-1]))
        # The entries of an orthogonal matrix have a root mean square of 1 / sqrt(max(shape)).
        size = UPDATE_SIZE * math.sqrt(max(matrix.shape))
        update = size * orthogonalize(matrix)
        variable.assign_sub(learning_rate * tf.reshape(update, variable.shape))


def orthogonalize(matrix: tf.Tensor) -> tf.Tensor:
    """Approximate the nearest matrix with orthonormal rows or columns.

    The singular values of the result are 0.7 to 1.2. This is the quintic Newton-Schulz iteration
    of Jordan et al. 2024, X <- X (a + b X'X + c (X'X)^2). Each step multiplies X by a polynomial in
    the first X'X. These small square matrices are multiplied together, and their product is
    applied to X once. It is computed in float32 for every precision of the network: rounded to
    bfloat16, X'X is not positive definite, and the iteration diverges.

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
    identity = tf.eye(gram.shape[0])
    product = identity
    for _ in range(ITERATIONS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = product @ factor
        gram = gram @ factor @ factor  # X'X of the next step; all these matrices commute.
    if wide:
        return product @ x
    return x @ product
