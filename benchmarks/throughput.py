"""Compare the training throughput of our recipes, the published way and PyTorch with the hardware.

All contenders train the same network on the same noise images in batches of 64, alternating, in one
process. The table has medians over the rounds, and ratios within the rounds. Use PyTorch's build
for CPUs: a process that loads the optimizers of both TensorFlow and the build for CUDA ends.

    python benchmarks/throughput.py [--rounds 5] [--steps 20]
"""

import argparse
import time

import numpy as np

import galclass
from galclass.network._tensorflow import keras, tf
from galclass.network.precision import choose_precision
from galclass.training.session import Session

BATCH_SIZE = 64
# Multiplications and additions of a forward and a backward pass of the published network.
GFLOP_PER_IMAGE = 1.69


def make_recipe_training(name, precision, images, labels):
    """Return a function that trains some steps as galclass.train does, with augmentation."""
    recipe = galclass.RECIPES[name]
    session = Session(
        recipe=recipe,
        network={
            "dropout": recipe.dropout,
            "dense_dropout": recipe.dense_dropout,
            "l2": recipe.l2,
        },
        seed=0,
        precision=precision,
        parts=galclass.split(labels, "published"),
        images=images,
        labels=labels,
    )
    rng = np.random.default_rng(0)

    def train(steps):
        for _ in range(steps * BATCH_SIZE // recipe.batch_size):
            indices = rng.integers(len(images), size=recipe.batch_size)
            session.step(*session.make_batch(indices, rng))
        session.totals.numpy()

    return train


def make_published_training(images, labels):
    """Return a function for float32 images and model.fit, without XLA, which is slower on CPUs."""
    model = keras.Sequential(galclass.build_cnn().layers[1:])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    scaled = (images / 255).astype(np.float32)
    targets = keras.utils.to_categorical(labels, 10)

    def train(steps):
        n = steps * BATCH_SIZE
        model.fit(scaled[:n], targets[:n], batch_size=BATCH_SIZE, epochs=1, verbose=0)

    return train


def make_pytorch_training(precision, images, labels):
    """Return a function for PyTorch, channels last, with autocast unless it is float32."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers = []
    channels = 3
    for block in ((64, 64), (128,), (256,)):
        for width in block:
            layers += [nn.Conv2d(channels, width, 3), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Dropout(0.5), nn.Flatten()]
    layers += [nn.Linear(9216, 150), nn.Tanh(), nn.Dropout(0.3)]
    layers += [nn.Linear(150, 60), nn.Tanh(), nn.Dropout(0.3), nn.Linear(60, 10)]
    model = nn.Sequential(*layers).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters())
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2)
    classes = torch.from_numpy(labels.astype(np.int64))
    autocast = torch.autocast(device, getattr(torch, precision), enabled=precision != "float32")

    def train(steps):
        for step in range(steps):
            start = step * BATCH_SIZE % 1024
            batch = slice(start, start + BATCH_SIZE)
            with autocast:
                logits = model(inputs[batch].to(device) / 255)
            loss = nn.functional.cross_entropy(logits.float(), classes[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # It waits for the GPU.

    return train


def make_matrix_product(precision):
    """Return a function that measures the GFLOP/s of a 4096 x 4096 matrix product."""
    matrix = tf.cast(tf.random.stateless_normal((4096, 4096), (0, 0)), precision)
    product = tf.function(lambda a: tf.matmul(a, a))
    product(matrix)

    def measure():
        start = time.perf_counter()
        for _ in range(4):
            result = product(matrix)
        result.numpy()
        return 4 * 2 * 4096**3 / (time.perf_counter() - start) / 1e9

    return measure


def make_contenders(precision, images, labels):
    """Return the training functions by name; the first one is the published way."""
    contenders = {
        "published way (float32 arrays, model.fit)": make_published_training(images, labels)
    }
    for recipe, each in (
        ("published", "float32"),
        ("published", precision),
        ("default", precision),
    ):
        name = f"galclass, {recipe} recipe, {each}"
        contenders[name] = make_recipe_training(recipe, each, images, labels)
    try:
        for each in dict.fromkeys(("float32", precision)):
            contenders[f"PyTorch, {each}"] = make_pytorch_training(each, images, labels)
    except ImportError:
        print("PyTorch is not installed and is left out\n")
    return contenders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contender")
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    n = max(2048, arguments.steps * BATCH_SIZE)
    images = rng.integers(0, 256, (n, 69, 69, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    precision = choose_precision("auto")
    contenders = make_contenders(precision, images, labels)
    measure_limit = make_matrix_product(precision)
    for train in contenders.values():
        train(3)
    speeds = {name: [] for name in contenders}
    limits = []
    for _ in range(arguments.rounds):
        for name, train in contenders.items():
            start = time.perf_counter()
            train(arguments.steps)
            seconds = time.perf_counter() - start
            speeds[name].append(arguments.steps * BATCH_SIZE / seconds)
        limits.append(measure_limit())
    published = np.array(next(iter(speeds.values())))
    print(f"| {arguments.rounds} rounds | images/s | times the published way | of the limit |")
    print("|---|---|---|---|")
    for name, measured in speeds.items():
        ratio = np.median(np.array(measured) / published)
        of_limit = np.median(np.array(measured) * GFLOP_PER_IMAGE / limits)
        print(f"| {name} | {np.median(measured):.0f} | {ratio:.2f} | {of_limit:.0%} |")
    limit = np.median(limits)
    print(f"\nlimit: {limit:.0f} GFLOP/s, a 4096 x 4096 matrix product in {precision}")


if __name__ == "__main__":
    main()
