"""Training throughput: our recipes, the published way, PyTorch, and the limit of the hardware.

All contenders train the same network on the same noise images in batches of 64, alternating, in
one process; the table gives medians over the rounds, and ratios within the rounds. PyTorch is to be
its build for CPUs: the one for CUDA and TensorFlow end a process that loads both optimizers.

    python benchmarks/throughput.py [--rounds 5] [--steps 20]
"""

import argparse
import time

import numpy as np

import galclass
from galclass.network._tensorflow import keras, tf
from galclass.network.hardware import choose_precision
from galclass.training.session import Session

BATCH = 64
# Multiplications and additions of a forward and a backward pass of the published network.
GFLOP_AN_IMAGE = 1.69


def our_recipe(name, precision, images, labels):
    """A function that trains some steps as ``galclass.train`` does, augmentation included."""
    recipe = galclass.RECIPES[name]
    parts = galclass.split(labels, "published")
    network = {"dropout": recipe.dropout, "dense_dropout": recipe.dense_dropout, "l2": recipe.l2}
    session = Session(recipe, network, 0, precision, parts, images, labels)
    rng = np.random.default_rng(0)

    def steps(count):
        for _ in range(count * BATCH // recipe.batch_size):
            session.step(*session.batch(rng.integers(len(images), size=recipe.batch_size), rng))
        session.totals.numpy()

    return steps


def published_way(images, labels):
    """float32 images in 0-1 and ``model.fit``, without XLA, which is slower on CPUs."""
    model = keras.Sequential(galclass.build_cnn().layers[1:])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    scaled = (images / 255).astype(np.float32)
    targets = keras.utils.to_categorical(labels, 10)

    def steps(count):
        n = count * BATCH
        model.fit(scaled[:n], targets[:n], batch_size=BATCH, epochs=1, verbose=0)

    return steps


def in_pytorch(precision, images, labels):
    """The same network in PyTorch, channels last; under ``autocast`` where it is not float32."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers, channels = [], 3
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

    def steps(count):
        half = torch.autocast(device, getattr(torch, precision), enabled=precision != "float32")
        for k in range(count):
            batch = slice(k * BATCH % 1024, k * BATCH % 1024 + BATCH)
            with half:
                logits = model(inputs[batch].to(device) / 255)
            loss = nn.functional.cross_entropy(logits.float(), classes[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # Waits for the GPU.

    return steps


def matrix_limit(precision):
    """GFLOP/s of a 4096 x 4096 matrix product."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    n = max(2048, arguments.steps * BATCH)
    images = rng.integers(0, 256, (n, 69, 69, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    auto = choose_precision("auto")
    contenders = {
        "published way (float32 arrays, model.fit)": published_way(images, labels),
        "galclass, published recipe, float32": our_recipe("published", "float32", images, labels),
        f"galclass, published recipe, {auto} (auto)": our_recipe("published", auto, images, labels),
        f"galclass, default recipe, {auto} (auto)": our_recipe("default", auto, images, labels),
    }
    try:
        for precision in dict.fromkeys(("float32", auto)):
            contenders[f"PyTorch, {precision}"] = in_pytorch(precision, images, labels)
    except ImportError:
        print("PyTorch is not installed and is left out\n")
    limit = matrix_limit(auto)
    for steps in contenders.values():
        steps(3)
    speeds, limits = {name: [] for name in contenders}, []
    for _ in range(arguments.rounds):
        for name, steps in contenders.items():
            start = time.perf_counter()
            steps(arguments.steps)
            speeds[name].append(arguments.steps * BATCH / (time.perf_counter() - start))
        limits.append(limit())
    first = np.array(next(iter(speeds.values())))
    print(f"| {arguments.rounds} rounds | images/s | times the published way | of the limit |")
    print("|---|---|---|---|")
    for name, found in speeds.items():
        share = np.median(np.array(found) * GFLOP_AN_IMAGE / limits)
        print(f"| {name} | {np.median(found):.0f} | {np.median(found / first):.2f} | {share:.0%} |")
    print(f"\nlimit: {np.median(limits):.0f} GFLOP/s, a 4096 x 4096 matrix product in {auto}")


if __name__ == "__main__":
    main()
