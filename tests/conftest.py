import os
from pathlib import Path

import numpy as np
import pytest

from galclass import load_data, train


@pytest.fixture(scope="session")
def galaxies():
    """Simulated galaxies, every class at least three times."""
    images, labels, source = load_data("simulated", n=600)
    kept = np.concatenate([np.flatnonzero(labels == c)[:12] for c in range(10)])
    assert min(np.bincount(labels[kept], minlength=10)) >= 3
    return images[kept], labels[kept], source


@pytest.fixture(scope="session")
def real_path():
    """The real galaxies for tests, where this machine has them."""
    folder = os.environ.get("GALCLASS_TEST_DATA")
    if not folder:
        pytest.skip("GALCLASS_TEST_DATA is not set: no real galaxies to test on")
    return Path(folder) / "Galaxy10_subset.h5"


@pytest.fixture(scope="session")
def pictures():
    """100 made-up pictures, ten a class, whose class is their brightness: quick to learn."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    images = rng.integers(0, 25, (100, 69, 69, 3)) + 22 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


@pytest.fixture(scope="session")
def trained(pictures, tmp_path_factory):
    """A run of three epochs on the made-up pictures."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    return train(*pictures, out=out, epochs=3, precision="float32", verbose=False)
