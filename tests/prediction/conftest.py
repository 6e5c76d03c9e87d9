import io

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass import build_cnn
from galclass.data.dataset import Dataset
from galclass.load import write_data


@pytest.fixture(scope="session")
def model():
    return build_cnn(seed=3, filters=((4, 4), (4,), (4,)), dense_units=(8,))


@pytest.fixture(scope="session")
def encode():
    """Return a function that returns an array as the bytes of a PNG file."""

    def encode(image):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        return content.getvalue()

    return encode


@pytest.fixture(scope="session")
def images(like_galaxy10):
    """Twelve images of 69 pixels."""
    return like_galaxy10[0][::9]


@pytest.fixture(scope="session")
def sources(images, encode, tmp_path_factory):
    """The same twelve images as a folder, as Parquet, as HDF5 and as a catalogue."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.mktemp("sources")
    (path / "images").mkdir()
    (path / "several").mkdir()
    names = [f"images/g{number:02d}.png" for number in range(12)]
    encoded = [encode(image) for image in images]
    for name, content in zip(names, encoded, strict=True):
        (path / name).write_bytes(content)
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "one.parquet", row_group_size=5)
    pq.write_table(rows[:7], path / "several" / "a.parquet", row_group_size=2)
    pq.write_table(rows[7:], path / "several" / "b.parquet")
    (path / "several" / "_metadata.parquet").write_text("not a part")
    write_data(path / "some.h5", Dataset(images, np.zeros(12, int), None))
    Table({"image": names, "r": np.arange(12)}).write(path / "catalogue.csv")
    return path
