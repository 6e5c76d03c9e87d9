"""Measure the peak memory of loading, splitting and one epoch, in galclass and as published.

This makes a file of 21,785 noise images with the public class counts (their content does not
matter here), then measures both ways one after the other, each in a separate process.

    python benchmarks/memory.py
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def make_file(path):
    import h5py

    from galclass.data.galaxy10 import CLASS_COUNTS, IMAGE_SHAPE

    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), CLASS_COUNTS))
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (len(labels), *IMAGE_SHAPE), np.uint8)
        for start in range(0, len(labels), 1000):
            block = images[start : start + 1000]
            images[start : start + 1000] = rng.integers(0, 256, block.shape, dtype=np.uint8)
        file["ans"] = labels


def peak_memory():
    """Return the largest resident memory of this process so far in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def train_with_galclass(path, folder):
    """Train for one epoch; return the peak memory before and after it."""
    import galclass.network.cnn

    before = peak_memory()
    data = galclass.load_data(path)
    galclass.train(*data, epochs=1, out=Path(folder) / "run", verbose=False)
    return before, peak_memory()


def train_as_published(path):
    """Train for one epoch as the published notebook does, on today's Keras."""
    import h5py
    from sklearn.model_selection import train_test_split

    import galclass.network.cnn
    from galclass.network._tensorflow import keras

    before = peak_memory()
    with h5py.File(path) as file:
        images = np.array(file["images"])
        labels = np.array(file["ans"])
    labels = keras.utils.to_categorical(labels.astype(np.float32), 10)
    # The order of copies with the lowest peak: float64 copies of the whole file never exist twice.
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2)
    train_images = images[train] / 255
    test_images = images[test] / 255
    del images
    model = keras.Sequential(galclass.build_cnn().layers[1:])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(train_images, labels[train], batch_size=64, epochs=1, validation_split=0.2, verbose=0)
    model.evaluate(test_images, labels[test], verbose=0)
    return before, peak_memory()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", choices=("galclass", "published"), help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.way == "galclass":
            print(*train_with_galclass(arguments.file, folder))
            return
        if arguments.way == "published":
            print(*train_as_published(arguments.file))
            return
        path = Path(folder) / "full_size.h5"
        make_file(path)
        print(
            "| 21,785 images, load, split, one epoch | peak, GB | over importing TensorFlow, GB |"
        )
        print("|---|---|---|")
        for way in ("galclass", "published"):
            command = [sys.executable, __file__, "--way", way, "--file", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            before, after = map(float, done.stdout.split()[-2:])
            print(f"| {way} | {after:.2f} | {after - before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
