"""Measure the images per second of a survey, from encoded images in Parquet to tables on disk.

Several ways are measured in turn, several times, so that the load of the machine affects all of
them: the survey with the default averaging and with all eight symmetries; the network alone, with
one pass of prepared images, and the same in PyTorch, if it is installed; and only decoding and
cropping. The last column is the ratio to the default survey.

    python benchmarks/predict.py --n 1000 [--data Galaxy10.h5]

The images are simulated, or from the test set of a file.
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from throughput import GFLOP_PER_IMAGE, make_matrix_product

from galclass import (
    load_data,
    load_pretrained,
    predict_survey,
    prepare,
    simulate_galaxy10,
    split,
)
from galclass.network.precision import choose_precision
from galclass.network.probabilities import predict_proba


def encode(image):
    """Return a galaxy as a JPEG file of 424 x 424 pixels, with sky around it, as Galaxy Zoo 2's."""
    field = Image.new("RGB", (424, 424), (6, 5, 4))
    field.paste(Image.fromarray(image).resize((207, 207), Image.Resampling.BICUBIC), (108, 108))
    file = io.BytesIO()
    field.save(file, "JPEG", quality=90)
    return file.getvalue()


def load_images(data, count):
    if data is None:
        images, _ = simulate_galaxy10(count, 11)
        return images
    images, labels, _ = load_data(data)
    return images[split(labels).test[:count]]


def write_source(path, files):
    """Write encoded images to Parquet."""
    columns = {"id": np.arange(len(files)), "image": pa.array(files, pa.binary())}
    pq.write_table(pa.table(columns), path)


def make_pytorch_network(model):
    """Return the convolutions and the dense layers with the same weights in PyTorch."""
    import torch
    from torch import nn

    maps = []
    dense = []
    for layer in model.layers:
        arrays = [torch.from_numpy(array) for array in layer.get_weights()]
        if layer.name.startswith("conv"):
            kernel, bias = arrays
            convolution = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3)
            convolution.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            convolution.bias.data = bias
            maps += [convolution, nn.ReLU()]
        elif layer.name.startswith("pool"):
            maps.append(nn.MaxPool2d(2))
        elif arrays:
            kernel, bias = arrays
            linear = nn.Linear(*kernel.shape)
            linear.weight.data = kernel.T.contiguous()
            linear.bias.data = bias
            dense += [linear, nn.Tanh()]
    dense[-1] = nn.Softmax(dim=1)
    return (
        nn.Sequential(*maps).to(memory_format=torch.channels_last),
        nn.Sequential(*dense),
    )


def make_pytorch_prediction(model, precision):
    """Return a function from uint8 images to probabilities, in one pass of PyTorch."""
    import torch

    maps, dense = make_pytorch_network(model)

    @torch.inference_mode()
    def predict(images):
        parts = []
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2)
            with torch.autocast("cpu", getattr(torch, precision), enabled=precision != "float32"):
                features = maps(batch / 255).permute(0, 2, 3, 1).flatten(1)
                probabilities = dense(features)
            parts.append(probabilities.float().numpy())
        return np.concatenate(parts)

    return predict


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="number of images")
    parser.add_argument("--data", help="HDF5 file in Galaxy10's layout; default: simulated images")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    arguments = parser.parse_args()
    images = load_images(arguments.data, arguments.n)
    files = [encode(image) for image in images]
    precision = choose_precision("auto")
    model = load_pretrained().load_model(precision=precision)
    predict_proba(model, images[:64])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.parquet"
        write_source(source, files)
        ways = {
            "survey, averaged if unsure": lambda out: predict_survey(source, out),
            "survey, all eight symmetries": lambda out: predict_survey(source, out, symmetric=True),
            "network alone, one pass": lambda out: predict_proba(model, images),
            "only decoding and cropping": lambda out: prepare(files),
        }
        try:
            predict_in_pytorch = make_pytorch_prediction(model, precision)
        except ImportError:
            print("PyTorch is not installed and is left out")
        else:
            difference = abs(predict_in_pytorch(images) - predict_proba(model, images)).max()
            print(f"PyTorch's probabilities differ by {difference:.1g} at most")
            ways["network alone, in PyTorch"] = lambda out: predict_in_pytorch(images)
        measure_limit = make_matrix_product(precision)
        limit = 3 * measure_limit() / GFLOP_PER_IMAGE  # A forward pass is a third of a step.
        print(f"limit of a matrix product: {limit:.0f} images/s, one pass")
        seconds = {name: [] for name in ways}
        for number in range(arguments.rounds + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way(Path(folder) / f"{number}-{len(name)}")
                if number > 0:  # The first round warms up.
                    seconds[name].append(time.perf_counter() - start)
    print(f"{len(images)} images, precision {precision}")
    default = seconds["survey, averaged if unsure"]
    for name, measured in seconds.items():
        rate = len(images) / statistics.median(measured)
        ratio = statistics.median(a / b for a, b in zip(default, measured, strict=True))
        print(f"{name:32s} {rate:7.0f} images/s  {ratio:5.2f}")


if __name__ == "__main__":
    main()
