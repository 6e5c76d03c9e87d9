"""Images a second of a survey, from encoded images in Parquet to tables on disk.

Measures in turn, several times over, so that all share whatever else the machine does: the survey
with the default averaging and with all eight symmetries; the network alone, one pass of prepared
images, and the same in PyTorch, if it is installed; and the decoding and cropping alone. The last
column is the ratio to the default survey.

    python benchmarks/predict.py --n 1000 [--data Galaxy10.h5]

The images are simulated, or of the test galaxies of a file.
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
from throughput import GFLOP_AN_IMAGE, matrix_limit

from galclass import (
    load_data,
    load_pretrained,
    predict_survey,
    prepare,
    simulate_galaxy10,
    split,
)
from galclass.network.hardware import choose_precision
from galclass.network.probabilities import predict_proba


def encoded(image):
    """A galaxy as Galaxy Zoo 2's 424-pixel JPEG file of it, with sky around what is known."""
    field = Image.new("RGB", (424, 424), (6, 5, 4))
    field.paste(Image.fromarray(image).resize((207, 207), Image.Resampling.BICUBIC), (108, 108))
    file = io.BytesIO()
    field.save(file, "JPEG", quality=90)
    return file.getvalue()


def in_pytorch(model, precision):
    """One pass with the same weights in PyTorch, as a function of uint8 images."""
    import torch
    from torch import nn

    layers = []
    for layer in model.layers:
        arrays = [torch.from_numpy(array) for array in layer.get_weights()]
        name = layer.name
        if name.startswith("conv"):
            one = nn.Conv2d(arrays[0].shape[2], arrays[0].shape[3], 3)
            one.weight.data = arrays[0].permute(3, 2, 0, 1).contiguous()
            layers += [one, nn.ReLU()]
        elif name.startswith("pool"):
            layers.append(nn.MaxPool2d(2))
        elif arrays:
            one = nn.Linear(*arrays[0].shape)
            one.weight.data = arrays[0].T.contiguous()
            layers += [one, nn.Tanh()]
        if arrays:
            one.bias.data = arrays[1]
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    maps = nn.Sequential(*layers[:first]).to(memory_format=torch.channels_last)
    dense = nn.Sequential(*layers[first:-1], nn.Softmax(dim=1))

    @torch.inference_mode()
    def predict(images):
        parts = []
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2)
            with torch.autocast("cpu", getattr(torch, precision), enabled=precision != "float32"):
                found = dense(maps(batch / 255).permute(0, 2, 3, 1).flatten(1))
            parts.append(found.float().numpy())
        return np.concatenate(parts)

    return predict


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="images")
    parser.add_argument("--data", help="HDF5 file in Galaxy10's layout, instead of simulated ones")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.data:
        images, labels, _ = load_data(arguments.data)
        images = images[split(labels).test[: arguments.n]]
    else:
        images, _ = simulate_galaxy10(arguments.n, 11)
    files = [encoded(image) for image in images]
    model = load_pretrained().load_model(precision="auto")
    predict_proba(model, images[:64])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.parquet"
        columns = {"id": np.arange(len(files)), "image": pa.array(files, pa.binary())}
        pq.write_table(pa.table(columns), source)
        calls = {
            "survey, averaged where unsure": lambda out: predict_survey(source, out),
            "survey, all eight symmetries": lambda out: predict_survey(source, out, symmetric=True),
            "network alone, one pass": lambda out: predict_proba(model, images),
            "decoding and cropping alone": lambda out: prepare(files),
        }
        try:
            other = in_pytorch(model, choose_precision("auto"))
            apart = abs(other(images) - predict_proba(model, images)).max()
            print(f"PyTorch's probabilities differ by {apart:.1g} at most")
            calls["network alone, in PyTorch"] = lambda out: other(images)
        except ImportError:
            print("PyTorch is not installed and is left out")
        limit = matrix_limit(choose_precision("auto"))
        print(f"limit of a matrix product: {3 * limit() / GFLOP_AN_IMAGE:.0f} images/s, one pass")
        seconds = {name: [] for name in calls}
        for number in range(arguments.rounds + 1):
            for name, call in calls.items():
                begun = time.perf_counter()
                call(Path(folder) / f"{number}-{len(name)}")
                if number:  # The first round warms up.
                    seconds[name].append(time.perf_counter() - begun)
    print(f"{len(images)} images, precision {choose_precision('auto')}")
    ratios = {
        name: [a / b for a, b in zip(next(iter(seconds.values())), each, strict=True)]
        for name, each in seconds.items()
    }
    for name, each in seconds.items():
        rate = len(images) / statistics.median(each)
        print(f"{name:32s} {rate:7.0f} images/s  {statistics.median(ratios[name]):5.2f}")


if __name__ == "__main__":
    main()
