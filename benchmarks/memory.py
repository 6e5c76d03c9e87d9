"""Peak memory of loading, splitting and one epoch on a full-size file: ours and the published way.

Makes a file of 21,785 noise images with the public class counts (their content does not matter
here), then measures both ways one after the other, each in a process of its own.

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

    from galclass.data.arrays import IMAGE_SHAPE
    from galclass.data.galaxy10 import CLASS_COUNTS

    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), CLASS_COUNTS))
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (len(labels), *IMAGE_SHAPE), np.uint8)
        for start in range(0, len(labels), 1000):
            block = images[start : start + 1000]
            images[start : start + 1000] = rng.integers(0, 256, block.shape, dtype=np.uint8)
        file["ans"] = labels


def peak():
    """Largest resident memory of this process so far, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def ours(path, folder):
    import galclass.network.cnn

    start = peak()
    data = galclass.load_data(path)
    galclass.train(*data, epochs=1, out=Path(folder) / "run", verbose=False)
    print(f"{start:.2f} {peak():.2f}")


def published(path, folder):
    """As the published notebook feeds and trains the network, on today's Keras."""
    import h5py
    from sklearn.model_selection import train_test_split

    import galclass.network.cnn
    from galclass.network._tensorflow import keras

    start = peak()
    with h5py.File(path) as file:
        images, labels = np.array(file["images"]), np.array(file["ans"])
    labels = keras.utils.to_categorical(labels.astype(np.float32), 10)
    # The order of copies that costs least: the whole file is never there as float64 twice.
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2)
    train_images, test_images = images[train] / 255, images[test] / 255
    train_labels, test_labels = labels[train], labels[test]
    del images
    model = keras.Sequential(galclass.build_cnn().layers[1:])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(train_images, train_labels, batch_size=64, epochs=1, validation_split=0.2, verbose=0)
    model.evaluate(test_images, test_labels, verbose=0)
    print(f"{start:.2f} {peak():.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", choices=("ours", "published"), help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        with tempfile.TemporaryDirectory() as folder:
            {"ours": ours, "published": published}[arguments.way](arguments.file, folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "full_size.h5"
        make_file(path)
        print(
            "| 21,785 images, load, split, one epoch | peak, GB | over importing TensorFlow, GB |"
        )
        print("|---|---|---|")
        for way in ("ours", "published"):
            command = [sys.executable, __file__, "--way", way, "--file", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            start, top = map(float, done.stdout.split()[-2:])
            print(f"| {way} | {top:.2f} | {top - start:.2f} |", flush=True)


if __name__ == "__main__":
    main()
