"""Images of every kind of source are listed in order, and in parts."""

import pickle
import sys

import h5py
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass.errors import DataError, MissingPackageError, ParameterError
from galclass.images.prepare import Framing, prepare_named
from galclass.prediction.source import open_source

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")

# The name of the eighth image in each kind of source.
NAMES = {
    "images": "{}/images/g07.png",
    "one.parquet": 107,
    "several": 107,
    "some.h5": "{}/some.h5[7]",
    "catalogue.csv": "images/g07.png",
}


def read(source):
    """Return the names and the prepared images of a source."""
    prepared = list(prepare_named(source.rows(), Framing(69, None)))
    assert [error for _, _, error in prepared if error] == []
    return [name for name, _, _ in prepared], np.stack([image for _, image, _ in prepared])


@pytest.mark.parametrize("kind", NAMES)
def test_a_source_and_its_parts_hold_the_images_in_order(kind, sources, images):
    source = open_source(sources / kind)
    names, found = read(source)
    np.testing.assert_array_equal(found, images)
    assert source.total == len(names) == 12
    expected = NAMES[kind]
    if isinstance(expected, str):
        expected = expected.format(sources)
    assert names[7] == expected
    for size in (1, 5, 100):
        # A part can be sent to another process.
        parts = [pickle.loads(pickle.dumps(part)) for part in source.parts(size)]
        totals = [part.total for part in parts]
        rows = [read(part) for part in parts]
        assert totals == [len(names) for names, _ in rows]
        assert max(totals) <= size
        assert [name for names, _ in rows for name in names] == names
        np.testing.assert_array_equal(np.concatenate([found for _, found in rows]), images)
        if kind == "several":  # No part spans two files.
            assert 7 in np.cumsum(totals)
        if kind == "catalogue.csv":
            catalogue_rows = np.concatenate([part.catalogue["r"] for part in parts])
            assert catalogue_rows.tolist() == list(range(12))


def test_images_in_memory_have_a_number_and_iterators_an_unknown_total(images, sources):
    path = sources / "images" / "g00.png"
    given = [str(path), Image.fromarray(images[1]), images[2]]
    names, found = read(open_source(given))
    assert names == [str(path), "image 1", "image 2"]
    np.testing.assert_array_equal(found, images[:3])
    assert open_source(given).total == 3
    assert open_source(iter(given)).total is None
    assert open_source(images[0]).total == open_source(path).total == 1
    assert open_source(np.array([str(path)] * 2)).total == 2


def test_ids_of_parquet_keep_their_type_and_rows_without_an_image_an_error(
    images, encode, tmp_path
):
    path = tmp_path / "s.parquet"
    contents = pa.array([encode(images[0]), encode(images[1]), None], pa.binary())
    ids = [2**63 + 1, None, 7]
    pq.write_table(pa.table({"id": pa.array(ids, pa.uint64()), "image": contents}), path)
    rows = list(open_source(path).rows())
    assert [name for name, _ in rows] == ids
    assert type(rows[0][0]) is np.uint64
    assert "s.parquet[2] has no image" in str(rows[2][1])
    pq.write_table(pa.table({"id": ["a", None, "c"], "image": contents}), path)
    assert [name for name, _ in open_source(path).rows()] == ["a", f"{path}[1]", "c"]


def test_parquet_without_encoded_images_is_a_catalogue(sources, tmp_path):
    image = str(sources / "images" / "g00.png")
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"id": [1], "image": [image]}), path)
    source = open_source(path)
    assert source.catalogue.colnames == ["id", "image"]
    assert read(source)[0] == [image]
    columns = {"id": [1], "image": pa.array([b""], pa.binary()), "file": [image]}
    pq.write_table(pa.table(columns), path)
    assert read(open_source(path, image_column="file"))[0] == [image]


def test_a_damaged_row_of_hdf5_has_an_error_and_the_others_their_images(images, sources, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes((sources / "some.h5").read_bytes())
    with h5py.File(path) as file, open(path, "rb+") as raw:
        chunk = file["images"].id.get_chunk_info(5)
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    rows = [image for _, image in open_source(path).rows()]
    assert "damaged.h5[5] is damaged" in str(rows.pop(5))
    np.testing.assert_array_equal(rows, np.delete(images, 5, axis=0))


def test_compressed_chunks_of_hdf5_are_read_once(images, tmp_path, monkeypatch):
    many = np.concatenate([images] * 10)
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        file.create_dataset("images", data=many, compression="gzip")
        assert file["images"].chunks[0] > 1
    read_rows = h5py.Dataset.__getitem__
    reads = []

    def count(dataset, rows, *others):
        reads.append(rows)
        return read_rows(dataset, rows, *others)

    part = open_source(tmp_path / "chunks.h5").parts(100)[1]
    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    np.testing.assert_array_equal(read(part)[1], many[100:])
    assert len(reads) == 1


def test_bad_sources_are_refused(sources, images, tmp_path, monkeypatch):
    (tmp_path / "cut.parquet").write_bytes((sources / "one.parquet").read_bytes()[:-9])
    (tmp_path / "cut.h5").write_bytes((sources / "some.h5").read_bytes()[:999])
    (tmp_path / "made").mkdir()
    (tmp_path / "mixed").mkdir()
    binary = pa.array([b"x"], pa.binary())
    for name, columns in {
        "no_id": {"image": binary},
        "real": {"id": [1.5], "image": binary},
        "empty": {"id": pa.array([], pa.int64()), "image": binary[:0]},
        "mixed/c": {"image": ["a.png"]},
    }.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    for error, words, given in [
        (FileNotFoundError, "no file", tmp_path / "gone"),
        (FileNotFoundError, "no file", ""),
        (DataError, "no image in", tmp_path / "made"),
        (DataError, "not a complete Parquet file", tmp_path / "cut.parquet"),
        (DataError, "cannot read .* as HDF5", tmp_path / "cut.h5"),
        (DataError, "'id' is null, expected text or integers", tmp_path / "no_id.parquet"),
        (DataError, "'id' is double, expected text or integers", tmp_path / "real.parquet"),
        (DataError, "holds no image", tmp_path / "empty.parquet"),
        (DataError, "holds no image", []),
        (DataError, "no column 'image' of encoded images", tmp_path / "mixed"),
        # One error, and not one per image.
        (DataError, "float64, expected uint8", images / 255),
    ]:
        with pytest.raises(error, match=words):
            open_source(given)
    positions = open_source(Table({"ra": [1.0], "dec": [2.0]}))
    with pytest.raises(ParameterError, match=r"has positions; use galclass\.predict"):
        positions.parts(1)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        open_source(sources / "one.parquet")
