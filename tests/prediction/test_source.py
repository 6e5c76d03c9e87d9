"""Images of every kind of source are listed in order, and in shards."""

import io
import pickle
import sys

import h5py
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galclass.data.dataset import Dataset
from galclass.errors import DataError, MissingPackageError, ParameterError
from galclass.images.prepare import Framing, prepare_named
from galclass.load import write_data
from galclass.prediction.source import open_source

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
pq = pytest.importorskip("pyarrow.parquet")

KINDS = ["images", "one.parquet", "several", "some.h5", "catalogue.csv"]


def encode(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def images(like_galaxy10):
    return like_galaxy10[0][::9]


@pytest.fixture(scope="module")
def sources(images, tmp_path_factory):
    """The same twelve images as a folder, as Parquet, as HDF5 and as a catalogue."""
    path = tmp_path_factory.mktemp("sources")
    (path / "images").mkdir()
    (path / "several").mkdir()
    encoded = [encode(image) for image in images]
    for number, content in enumerate(encoded):
        (path / "images" / f"g{number:02d}.png").write_bytes(content)
    rows = pa.table({"id": np.arange(100, 112), "image": pa.array(encoded, pa.binary())})
    pq.write_table(rows, path / "one.parquet", row_group_size=5)
    pq.write_table(rows[:7], path / "several" / "a.parquet", row_group_size=2)
    pq.write_table(rows[7:], path / "several" / "b.parquet")
    (path / "several" / "_metadata.parquet").write_text("not a part")
    write_data(path / "some.h5", Dataset(images, np.zeros(12, int), None))
    names = [f"images/g{number:02d}.png" for number in range(12)]
    Table({"image": names, "r": np.arange(12)}).write(path / "catalogue.csv")
    return path


def read(source):
    """Return the names and the prepared images of a source."""
    prepared = list(prepare_named(source.rows(), Framing(69, None)))
    assert [error for _, _, error in prepared if error] == []
    return [name for name, _, _ in prepared], np.stack([image for _, image, _ in prepared])


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_has_one_row_per_image_in_order(kind, sources, images):
    source = open_source(sources / kind)
    names, found = read(source)
    assert source.total == 12
    np.testing.assert_array_equal(found, images)
    expected = {
        "images": str(sources / "images" / "g07.png"),
        "one.parquet": 107,
        "several": 107,
        "some.h5": f"{sources / 'some.h5'}[7]",
        "catalogue.csv": "images/g07.png",
    }
    assert names[7] == expected[kind]


@pytest.mark.parametrize("size", [1, 5, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_shards_hold_the_same_rows_and_can_be_sent_to_other_processes(kind, size, sources, images):
    source = open_source(sources / kind)
    shards = [pickle.loads(pickle.dumps(shard)) for shard in source.shards(size)]
    parts = [read(shard) for shard in shards]
    assert [shard.total for shard in shards] == [len(names) for names, _ in parts]
    assert max(shard.total for shard in shards) <= size
    assert [name for names, _ in parts for name in names] == read(source)[0]
    np.testing.assert_array_equal(np.concatenate([found for _, found in parts]), images)
    if kind == "several":  # No shard reaches over the end of a file.
        assert 7 in np.cumsum([shard.total for shard in shards])
    if kind == "catalogue.csv":
        rows = np.concatenate([shard.catalogue["r"] for shard in shards])
        assert rows.tolist() == list(range(12))


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


def test_a_bad_array_is_one_error_and_not_one_per_image(images):
    with pytest.raises(DataError, match="float64, expected uint8"):
        open_source(images / 255)


def test_ids_of_parquet_keep_their_type_and_rows_without_an_image_an_error(images, tmp_path):
    ids = [2**63 + 1, None, 7]
    contents = [encode(images[0]), encode(images[1]), None]
    rows = {"id": pa.array(ids, pa.uint64()), "image": pa.array(contents, pa.binary())}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    rows = list(open_source(tmp_path / "s.parquet").rows())
    assert [name for name, _ in rows] == ids
    assert type(rows[0][0]) is np.uint64
    assert "s.parquet[2] has no image" in str(rows[2][1])
    texts = {"id": pa.array(["a", None]), "image": pa.array(contents[:2], pa.binary())}
    pq.write_table(pa.table(texts), tmp_path / "s.parquet")
    names = [name for name, _ in open_source(tmp_path / "s.parquet").rows()]
    assert names == ["a", f"{tmp_path / 's.parquet'}[1]"]


def test_parquet_without_encoded_images_is_a_catalogue(sources, tmp_path):
    path = str(sources / "images" / "g00.png")
    pq.write_table(pa.table({"id": [1], "image": [path]}), tmp_path / "c.parquet")
    source = open_source(tmp_path / "c.parquet")
    assert source.catalogue.colnames == ["id", "image"]
    assert read(source)[0] == [path]
    columns = {"id": [1], "image": pa.array([b""], pa.binary()), "file": [path]}
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    assert read(open_source(tmp_path / "c.parquet", image_column="file"))[0] == [path]


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

    shard = open_source(tmp_path / "chunks.h5").shards(100)[1]
    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    np.testing.assert_array_equal(read(shard)[1], many[100:])
    assert len(reads) == 1


def test_a_catalogue_of_positions_is_not_divided():
    source = open_source(Table({"ra": [1.0], "dec": [2.0]}))
    with pytest.raises(ParameterError, match=r"has positions; use galclass\.predict"):
        source.shards(1)


def test_bad_sources_are_refused(sources, tmp_path, monkeypatch):
    (tmp_path / "cut.parquet").write_bytes((sources / "one.parquet").read_bytes()[:-9])
    (tmp_path / "cut.h5").write_bytes((sources / "some.h5").read_bytes()[:999])
    (tmp_path / "made").mkdir()
    binary = pa.array([b"x"], pa.binary())
    pq.write_table(pa.table({"image": binary}), tmp_path / "no_id.parquet")
    pq.write_table(pa.table({"id": [1.5], "image": binary}), tmp_path / "real.parquet")
    empty = pa.table({"id": [1], "image": binary})[:0]
    pq.write_table(empty, tmp_path / "empty.parquet")
    (tmp_path / "mixed").mkdir()
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "mixed" / "c.parquet")
    for error, words, name in [
        (FileNotFoundError, "no file", "gone"),
        (DataError, "no image in", "made"),
        (DataError, "not a complete Parquet file", "cut.parquet"),
        (DataError, "cannot read .* as HDF5", "cut.h5"),
        (DataError, "'id' is null, expected text or integers", "no_id.parquet"),
        (DataError, "'id' is double, expected text or integers", "real.parquet"),
        (DataError, "holds no image", "empty.parquet"),
        (DataError, "no column 'image' of encoded images", "mixed"),
    ]:
        with pytest.raises(error, match=words):
            open_source(tmp_path / name)
    monkeypatch.chdir(sources)
    with pytest.raises(FileNotFoundError):
        open_source("")
    with pytest.raises(DataError, match="holds no image"):
        open_source([])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        open_source(sources / "one.parquet")
