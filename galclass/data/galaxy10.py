"""Galaxy10 SDSS: fetch, verify, read and write.

21,785 colour images of galaxies, 69 x 69 pixels, in ten morphological classes. A galaxy is in
the set where one class has more than 55 % of the votes of Galaxy Zoo 2.

Origin of the images: Sloan Digital Sky Survey. Labels: Galaxy Zoo 2 (Willett et al. 2013,
MNRAS 435, 2835; Hart et al. 2016, MNRAS 461, 3663). Compilation: astroNN (Leung & Bovy 2019,
MNRAS 483, 3255), https://astronn.readthedocs.io/en/latest/galaxy10sdss.html.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DownloadError, ParameterError
from ..files import PathLike, sha256_of_file, whole_file
from .arrays import IMAGE_SHAPE, Images, Labels, check_images, check_labels

FILE_NAME = "Galaxy10.h5"
SHA256 = "969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af"
URLS = (
    "https://zenodo.org/records/10844811/files/Galaxy10.h5",
    "https://www.astro.utoronto.ca/~bovy/Galaxy10/Galaxy10.h5",
)
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
# Counted in the published file. astroNN's page gives 394 for class 3, which does not sum to 21,785.
CLASS_COUNTS = (3461, 6997, 6292, 349, 1534, 17, 589, 1121, 906, 519)
# Recall of each class that the published notebook measured, from its confusion matrix.
PUBLISHED_RECALL = (0.610, 0.956, 0.901, 0.552, 0.786, 0.0, 0.899, 0.635, 0.438, 0.466)


def load_galaxy10(path: PathLike | None = None) -> tuple[Images, NDArray[np.uint8]]:
    """Load Galaxy10 SDSS, downloading it (210 MB) when it is not on this machine.

    Parameters
    ----------
    path : str or path-like, optional
        An HDF5 file in Galaxy10's layout. By default
        :func:`galclass.data.galaxy10.locate_galaxy10` finds or fetches the published file.

    Returns
    -------
    images : ndarray of uint8, shape (N, 69, 69, 3)
        Red, green and blue from the i, r and g bands. N is 21,785 for the published file.
    labels : ndarray of uint8, shape (N,)
        Classes 0 to 9, indices into ``CLASS_NAMES``.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    DataError
        The file is not in Galaxy10's layout.
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
    """Path of the Galaxy10 file, fetched if need be.

    Looks at `path`, then the environment variable ``GALCLASS_DATA``, both of which may name any
    file in Galaxy10's layout. Then at ``data/Galaxy10.h5`` under the working directory, astroNN's
    cache and galclass's cache, where only the published file, by its sha256, is accepted.
    Else the file is downloaded into galclass's cache.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        As in :func:`load_galaxy10`.
    """
    given = os.environ.get("GALCLASS_DATA") or None if path is None else path
    if given is not None:
        return _readable_file(given)
    in_data = Path("data") / FILE_NAME
    if in_data.exists():
        if sha256_of_file(_readable_file(in_data)) == SHA256:
            return in_data
        raise DataError(
            f"{in_data} is not the published Galaxy10.h5 (by its sha256); move it away, or name it "
            "as the data to use it as it is"
        )
    # Not Path.home(), which fails where an account has no home.
    in_astronn = Path(os.path.expanduser("~")) / ".astroNN" / "datasets" / FILE_NAME
    if in_astronn.is_file() and os.access(in_astronn, os.R_OK):
        if sha256_of_file(in_astronn) == SHA256:
            return in_astronn
        warnings.warn(f"{in_astronn} is damaged (wrong sha256) and is not used", stacklevel=3)
    return fetch_galaxy10()


def _readable_file(path: PathLike) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path={type(path)}, expected the path of a Galaxy10 HDF5 file")
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file {path}; give the path of a Galaxy10 HDF5 file")
    # Reading a pipe or a device would wait or go on for ever.
    if not path.is_file():
        raise DataError(f"{path} is a directory or no regular file, expected one like {FILE_NAME}")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"no permission to read {path}; change it with chmod u+r, or copy it")
    return path


def fetch_galaxy10(
    *, cache: PathLike | None = None, urls: Sequence[str] = URLS, sha256: str = SHA256
) -> Path:
    """Download Galaxy10.h5 unless a whole copy is in the cache already.

    The file gets its name only when it has arrived whole and its sha256 is right. The addresses
    are tried in order, each for as long as something arrives at least every 30 seconds.

    Parameters
    ----------
    cache : path-like, optional
        Directory for the file. Default: the user's cache directory for galclass.
    urls : sequence of str
        Addresses that hold the file.
    sha256 : str
        Expected hash, hexadecimal.

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

    target = Path(os.path.expanduser(cache or pooch.os_cache("galclass"))) / FILE_NAME
    by_hand = f"Download {urls[0]} by hand to data/{FILE_NAME}, or use --data simulated"
    with contextlib.suppress(OSError):  # No file is no damage; the rest pooch meets again.
        if sha256_of_file(target) != sha256:
            warnings.warn(f"{target} is damaged (wrong sha256) and is fetched again", stacklevel=2)
    pooch.get_logger().setLevel("WARNING")
    # Jupyter's standard error is not a terminal but shows a bar.
    visible = sys.stderr.isatty() or "ipykernel" in sys.modules
    http = pooch.HTTPDownloader(progressbar=visible, timeout=TIMEOUT)
    reasons = []
    for url in urls:
        try:
            return Path(pooch.retrieve(url, sha256, FILE_NAME, target.parent, downloader=http))
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
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of uint8, shape (N,)

    Raises
    ------
    DataError
        The file is not HDF5, is cut off, lacks a column, or a column has another shape, type or
        range.
    """
    with _opened(path, "images", "ans") as file:
        images = check_images(file["images"][:], name=str(path))
        return images, check_labels(file["ans"][:], len(images), name=str(path))


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
    """The texts and integers that :func:`write_galaxy10` gave a file as attributes."""
    with _opened(path) as file:
        found = {key: np.asarray(value).tolist() for key, value in file.attrs.items()}
    return {key: value for key, value in found.items() if isinstance(value, str | int)}


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
    if column == "images" and (data.dtype != np.uint8 or data.shape[1:] != IMAGE_SHAPE):
        raise DataError(f"{name}: {data.dtype} {data.shape}, expected uint8 images (N, 69, 69, 3)")
    # A deflated byte stands for 1032 at most (https://zlib.net/zlib_tech.html).
    if data.nbytes > 1100 * data.id.get_storage_size():
        raise DataError(f"{name} is cut off: it promises {len(data):,} galaxies; copy it again")


def write_galaxy10(
    path: PathLike, images: Images, labels: Labels, *, attributes: dict[str, Any] | None = None
) -> None:
    """Write an HDF5 file in Galaxy10's layout, whole or not at all.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    images : ndarray of uint8, shape (N, 69, 69, 3)
    labels : ndarray of int, shape (N,)
    attributes : dict, optional
        Kept in the file, see :func:`read_attributes`.
    """
    # In memory first: HDF5 that cannot write its file out, on a full disk, ends the process.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        images = check_images(images)
        file.create_dataset("images", data=images, chunks=(1, *IMAGE_SHAPE), compression="gzip")
        file["ans"] = check_labels(labels, len(images))
        file.attrs.update(attributes or {})
    with whole_file(Path(os.path.expanduser(path))) as temporary:
        temporary.write_bytes(content.getbuffer())
