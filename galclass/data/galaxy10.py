"""Galaxy10, of SDSS and of DECaLS: fetch, verify, read and write.

Galaxy10 SDSS: 21,785 colour images of galaxies, 69 x 69 pixels, in ten morphological classes. A
galaxy is in the set where one class has more than 55 % of the votes of Galaxy Zoo 2.

Origin of the images: Sloan Digital Sky Survey. Labels: Galaxy Zoo 2 (Willett et al. 2013,
MNRAS 435, 2835; Hart et al. 2016, MNRAS 461, 3663). Compilation: astroNN (Leung & Bovy 2019,
MNRAS 483, 3255), https://astronn.readthedocs.io/en/latest/galaxy10sdss.html.

Galaxy10 DECaLS: 17,736 images of 256 x 256 pixels in ten other classes, from the DESI Legacy
Imaging Surveys (Dey et al. 2019, AJ 157, 168) and Galaxy Zoo DECaLS (Walmsley et al. 2022, MNRAS
509, 3966); https://astronn.readthedocs.io/en/latest/galaxy10.html.
"""

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DownloadError, ParameterError
from ..files import PathLike, sha256_of_file, whole_file
from .arrays import IMAGE_SHAPE, Images, Labels, check_class_names, check_images, check_labels

TIMEOUT = 30.0  # seconds without an answer, or between two pieces of one

CLASS_NAMES = (
    "Disk, Face-on, No Spiral",
    "Smooth, Completely round",
    "Smooth, in-between round",
    "Smooth, Cigar shaped",
    "Disk, Edge-on, Rounded Bulge",
    "Disk, Edge-on, Boxy Bulge",
    "Disk, Edge-on, No Bulge",
    "Disk, Face-on, Tight Spiral",
    "Disk, Face-on, Medium Spiral",
    "Disk, Face-on, Loose Spiral",
)
# What the volunteers were asked on the way to each class, and answered: the decision tree of Galaxy
# Zoo 2 (Willett et al. 2013, table 2: tasks 01, 02, 04, 07, 09 and 10), shortened.
_DISK = "Smooth and rounded, or with features or a disk? Features or a disk."
_EDGE_ON = f"{_DISK} A disk viewed edge-on? Yes. Does it have a bulge, and of what shape?"
_FACE_ON = f"{_DISK} A disk viewed edge-on? No. Any sign of spiral arms?"
_SMOOTH = "Smooth and rounded, or with features or a disk? Smooth. How rounded is it?"
_ARMS = f"{_FACE_ON} Yes. How tightly wound are they?"
CLASS_QUESTIONS = (
    f"{_FACE_ON} No.",
    *(f"{_SMOOTH} {answer}." for answer in ("Completely round", "In between", "Cigar shaped")),
    *(f"{_EDGE_ON} {answer}." for answer in ("Rounded", "Boxy", "No bulge")),
    *(f"{_ARMS} {answer}." for answer in ("Tight", "Medium", "Loose")),
)
# As astroNN's module galaxy10 and its page have them; that module calls class 3 otherwise, like 4.
DECALS_NAMES = (
    "Disturbed",
    "Merging",
    "Round Smooth",
    "In-between Round Smooth",
    "Cigar Shaped Smooth",
    "Barred Spiral",
    "Unbarred Tight Spiral",
    "Unbarred Loose Spiral",
    "Edge-on without Bulge",
    "Edge-on with Bulge",
)
# Counted in the published file. astroNN's page gives 394 for class 3, which does not sum to 21,785.
CLASS_COUNTS = (3461, 6997, 6292, 349, 1534, 17, 589, 1121, 906, 519)
# Recall of each class that the published notebook measured, from its confusion matrix.
PUBLISHED_RECALL = (0.610, 0.956, 0.901, 0.552, 0.786, 0.0, 0.899, 0.635, 0.438, 0.466)


class Published(NamedTuple):
    """A published file: its name, hash, addresses, pixels of an image's side, and classes."""

    title: str
    file_name: str
    sha256: str
    urls: tuple[str, ...]
    side: int
    class_names: tuple[str, ...]


DATASETS = {
    "galaxy10": Published(
        "Galaxy10 SDSS",
        "Galaxy10.h5",
        "969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af",
        (
            "https://zenodo.org/records/10844811/files/Galaxy10.h5",
            "https://www.astro.utoronto.ca/~bovy/Galaxy10/Galaxy10.h5",
        ),
        69,
        CLASS_NAMES,
    ),
    "decals": Published(
        "Galaxy10 DECaLS",
        "Galaxy10_DECals.h5",
        "19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571",
        (
            "https://zenodo.org/records/10845026/files/Galaxy10_DECals.h5",
            "https://www.astro.utoronto.ca/~hleung/shared/Galaxy10/Galaxy10_DECals.h5",
        ),
        256,
        DECALS_NAMES,
    ),
}


def load_galaxy10(path: PathLike | None = None) -> tuple[Images, NDArray[np.uint8]]:
    """Load Galaxy10, downloading it when it is not on this machine.

    Parameters
    ----------
    path : str or path-like, optional
        ``"galaxy10"`` (of SDSS, 210 MB; default) or ``"decals"`` (2.7 GB), which
        :func:`galclass.data.galaxy10.locate_galaxy10` finds or fetches; or an HDF5 file in the
        layout of one of them.

    Returns
    -------
    images : ndarray of uint8, shape (N, 69, 69, 3) or (N, 256, 256, 3)
        Red, green and blue; of SDSS from the i, r and g bands, of DECaLS from z, r and g. N is
        21,785 or 17,736 for the published files.
    labels : ndarray of uint8, shape (N,)
        Classes 0 to 9; of SDSS, indices into ``CLASS_NAMES``.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    DataError
        The file is not in Galaxy10's layout, or is the other one of the two.
    DownloadError
        The file is not on this machine and could not be fetched.

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.load_galaxy10()
    >>> images.dtype, images.shape
    (dtype('uint8'), (..., 69, 69, 3))
    >>> galclass.CLASS_NAMES[labels[0]]
    '...'
    """
    return read_galaxy10(locate_galaxy10(path))


def locate_galaxy10(path: PathLike | None = None) -> Path:
    """Path of a Galaxy10 file, fetched if need be.

    Looks at `path`, or, where that is the name of a published file, at the environment variable
    ``GALCLASS_DATA``; both may name any file in Galaxy10's layout. Then at ``data/`` under the
    working directory, astroNN's cache and galclass's cache, where only the published file, by its
    sha256, is accepted. Else the file is downloaded into galclass's cache.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        As in :func:`load_galaxy10`.
    """
    name = "galaxy10" if path is None else path
    if not isinstance(name, str) or name not in DATASETS:
        return _readable_file(name)
    asked = DATASETS[name]
    if given := os.environ.get("GALCLASS_DATA"):
        found = layout_of(given)
        if found != asked:
            raise DataError(f"{given} has the layout of {found.title}, expected {asked.title}")
        return _readable_file(given)
    in_data = Path("data") / asked.file_name
    if in_data.exists():
        if sha256_of_file(_readable_file(in_data)) == asked.sha256:
            return in_data
        raise DataError(
            f"{in_data} is not the published {asked.file_name} (by its sha256); move it away, or "
            "name it as the data to use it as it is"
        )
    # Not Path.home(), which fails where an account has no home.
    in_astronn = Path(os.path.expanduser("~")) / ".astroNN" / "datasets" / asked.file_name
    if in_astronn.is_file() and os.access(in_astronn, os.R_OK):
        if sha256_of_file(in_astronn) == asked.sha256:
            return in_astronn
        warnings.warn(f"{in_astronn} is damaged (wrong sha256) and is not used", stacklevel=3)
    return fetch_galaxy10(asked)


def layout_of(path: PathLike) -> Published:
    """Which of the published files one has the layout of, by the size of its images.

    Raises
    ------
    FileNotFoundError, DataError
        As for :func:`read_galaxy10`, or the images have another size.
    """
    with _opened(path, "images") as file:
        side = file["images"].shape[1]
    for known in DATASETS.values():
        if known.side == side:
            return known
    sides = " or ".join(f"{known.side} ({known.title})" for known in DATASETS.values())
    raise DataError(f"{path}: images of {side} x {side} pixels, expected {sides}")


def _readable_file(path: PathLike) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path={type(path)}, expected the path of a Galaxy10 HDF5 file")
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file {path}; give the path of a Galaxy10 HDF5 file")
    # Reading a pipe or a device would wait or go on for ever.
    if not path.is_file():
        raise DataError(f"{path} is a directory or no regular file, expected one like Galaxy10.h5")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"no permission to read {path}; change it with chmod u+r, or copy it")
    return path


def fetch_galaxy10(
    wanted: Published = DATASETS["galaxy10"], *, cache: PathLike | None = None
) -> Path:
    """Download a published file unless a whole copy is in the cache already.

    The file gets its name only when it has arrived whole and its sha256 is right. The addresses
    are tried in order, each for as long as something arrives at least every 30 seconds.

    Parameters
    ----------
    wanted : Published
        One of ``DATASETS``; by default that of SDSS.
    cache : path-like, optional
        Directory for the file. Default: the user's cache directory for galclass.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DownloadError
        No address gave the file, or the cache cannot be read or written.

    Warns
    -----
    UserWarning
        The file in the cache is damaged, and is fetched again.
    """
    import pooch

    sha256, name = wanted.sha256, wanted.file_name
    target = Path(os.path.expanduser(cache or pooch.os_cache("galclass"))) / name
    by_hand = f"Download {wanted.urls[0]} by hand to data/{name}, or use --data simulated"
    with contextlib.suppress(OSError):  # No file is no damage; the rest pooch meets again.
        if sha256_of_file(target) != sha256:
            warnings.warn(f"{target} is damaged (wrong sha256) and is fetched again", stacklevel=2)
    pooch.get_logger().setLevel("WARNING")
    # Jupyter's standard error is not a terminal but shows a bar.
    visible = sys.stderr.isatty() or "ipykernel" in sys.modules
    http = pooch.HTTPDownloader(progressbar=visible, timeout=TIMEOUT)
    reasons = []
    for url in wanted.urls:
        try:
            return Path(pooch.retrieve(url, sha256, name, target.parent, downloader=http))
        except Exception as error:  # pooch passes on requests' and the system's own kinds
            reasons.append(f"{url}: {_innermost(error)}")
    raise DownloadError(f"{target} could not be fetched. {'; '.join(reasons)}. {by_hand}")


def _innermost(error: Exception) -> str:
    """The reason within a nested error of requests, in one line."""
    while error.args and isinstance(getattr(error.args[0], "reason", error.args[0]), Exception):
        error = getattr(error.args[0], "reason", error.args[0])
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def read_galaxy10(path: PathLike) -> tuple[Images, NDArray[np.uint8]]:
    """Read an HDF5 file in Galaxy10's layout: ``images`` and ``ans``, other columns ignored.

    Returns
    -------
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of uint8, shape (N,)

    Raises
    ------
    DataError
        The file is not HDF5, is cut off, lacks a column, or a column has another shape, type or
        range.
    """
    classes = len(read_class_names(path))
    with _opened(path, "images", "ans") as file:
        images = check_images(file["images"][:], name=str(path))
        return images, check_labels(file["ans"][:], len(images), classes=classes, name=str(path))


def read_class_names(path: PathLike) -> tuple[str, ...]:
    """Names of the classes of a file: those that it holds, else those of its layout."""
    names = read_attributes(path).get("class_names")
    try:
        return (
            layout_of(path).class_names if names is None else check_class_names(json.loads(names))
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: class_names {names!r}, expected a JSON list of names") from error


def count_images(path: PathLike) -> int:
    """Number of images in an HDF5 file in Galaxy10's layout, which needs no labels for this.

    Raises
    ------
    FileNotFoundError, DataError
        As for :func:`read_galaxy10`.
    """
    with _opened(path, "images") as file:
        return len(file["images"])


def read_attributes(path: PathLike) -> dict[str, Any]:
    """The texts and numbers that :func:`write_galaxy10` gave a file as attributes."""
    with _opened(path) as file:
        found = {key: np.asarray(value).tolist() for key, value in file.attrs.items()}
    if isinstance(names := found.get("class_names"), list):  # As h5py writes a list of them.
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        found["class_names"] = json.dumps(texts)
    return {key: value for key, value in found.items() if isinstance(value, str | int | float)}


@contextlib.contextmanager
def _opened(path: PathLike, *columns: str) -> Iterator[h5py.File]:
    """An HDF5 file whose columns have Galaxy10's form, as far as its header tells."""
    path = _readable_file(path)
    try:
        with h5py.File(path, "r") as file:
            for column in columns:
                _check_column(path.name, file, column)
            yield file
    except DataError:
        raise
    except Exception as error:  # h5py raises another kind for each way in which a file is damaged.
        raise DataError(f"cannot read {path} as HDF5 ({error}); fetch or copy it again") from error


def _check_column(name: str, file: h5py.File, column: str) -> None:
    data = file.get(column)
    within = isinstance(data, h5py.Dataset) and data.file.filename == file.filename
    # Else the sha256 of the file would not be that of the galaxies.
    if not within or data.is_virtual or data.external:
        raise DataError(f"{name} has no column {column!r} in it, expected images and ans there")
    square = data.ndim == 4 and data.shape[1] == data.shape[2] and data.shape[3] == 3
    if column == "images" and (data.dtype != np.uint8 or not square):
        raise DataError(f"{name}: {data.dtype} {data.shape}, expected uint8 images (N, 69, 69, 3)")
    # A deflated byte stands for 1032 at most (https://zlib.net/zlib_tech.html).
    if data.nbytes > 1100 * data.id.get_storage_size():
        raise DataError(f"{name} is cut off: it promises {len(data):,} galaxies; copy it again")


def write_galaxy10(
    path: PathLike,
    images: Images,
    labels: Labels,
    *,
    class_names: Sequence[str] = CLASS_NAMES,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write an HDF5 file in Galaxy10's layout, whole or not at all.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    images : ndarray of uint8, shape (N, s, s, 3)
    labels : ndarray of int, shape (N,)
    class_names : sequence of str
        Other ones than Galaxy10's are kept in the file.
    attributes : dict, optional
        Kept in the file, see :func:`read_attributes`.
    """
    # In memory first: HDF5 that cannot write its file out, on a full disk, ends the process.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        images = check_images(images)
        chunks = (1, *images.shape[1:])
        file.create_dataset("images", data=images, chunks=chunks, compression="gzip")
        file["ans"] = check_labels(labels, len(images), classes=len(class_names))
        if (images.shape[1], tuple(class_names)) != (IMAGE_SHAPE[0], CLASS_NAMES):
            file.attrs["class_names"] = json.dumps([*class_names])
        file.attrs.update(attributes or {})
    with whole_file(Path(os.path.expanduser(path))) as temporary:
        temporary.write_bytes(content.getbuffer())
