"""Galaxy10 SDSS and Galaxy10 DECaLS: fetch, verify and read.

Galaxy10 SDSS: 21,785 colour images of galaxies, 69 x 69 pixels, in ten morphological classes. A
galaxy is in the data set if one class has more than 55 % of the votes of Galaxy Zoo 2.

Images: Sloan Digital Sky Survey. Labels: Galaxy Zoo 2 (Willett et al. 2013, MNRAS 435, 2835;
Hart et al. 2016, MNRAS 461, 3663). Compilation: astroNN (Leung & Bovy 2019, MNRAS 483, 3255),
https://astronn.readthedocs.io/en/latest/galaxy10sdss.html.

Galaxy10 DECaLS: 17,736 images of 256 x 256 pixels in ten other classes, from the DESI Legacy
Imaging Surveys (Dey et al. 2019, AJ 157, 168) and Galaxy Zoo DECaLS (Walmsley et al. 2022, MNRAS
509, 3966); https://astronn.readthedocs.io/en/latest/galaxy10.html.
"""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pooch
import urllib3

from ..errors import DataError, DownloadError, ParameterError
from ..files import PathLike, sha256_of_file
from .arrays import Images, Labels, check_class_names, check_images, check_labels
from .dataset import Dataset, Origin

TIMEOUT = 30.0  # seconds without an answer, or between two parts of one

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
# From astroNN's module galaxy10 and its page; the module calls class 3 by the name of class 4.
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
# Galaxy10 SDSS shows the central 207 of the 424 pixels of Galaxy Zoo's images. Found by comparing
# the pixels of both: the box (108, 108, 315, 315), resized to 69 x 69 with PIL's BILINEAR.
GALAXY10_CROP = 207 / 424
IMAGE_SHAPE = (69, 69, 3)


class Published(NamedTuple):
    """A published file.

    Parameters
    ----------
    title : str
    file_name : str
    sha256 : str
        Hash of the file.
    urls : tuple of str
        Addresses, in the order in which they are tried.
    side : int
        Width and height of the images, in pixels.
    class_names : tuple of str
    crop : float or None
        See :class:`galclass.data.dataset.Origin`.
    """

    title: str
    file_name: str
    sha256: str
    urls: tuple[str, ...]
    side: int
    class_names: tuple[str, ...]
    crop: float | None


DATASETS = {
    "galaxy10": Published(
        title="Galaxy10 SDSS",
        file_name="Galaxy10.h5",
        sha256="969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af",
        urls=(
            "https://zenodo.org/records/10844811/files/Galaxy10.h5",
            "https://www.astro.utoronto.ca/~bovy/Galaxy10/Galaxy10.h5",
        ),
        side=69,
        class_names=CLASS_NAMES,
        crop=GALAXY10_CROP,
    ),
    "decals": Published(
        title="Galaxy10 DECaLS",
        file_name="Galaxy10_DECals.h5",
        sha256="19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571",
        urls=(
            "https://zenodo.org/records/10845026/files/Galaxy10_DECals.h5",
            "https://www.astro.utoronto.ca/~hleung/shared/Galaxy10/Galaxy10_DECals.h5",
        ),
        side=256,
        class_names=DECALS_NAMES,
        crop=None,
    ),
}


def load_galaxy10(path: PathLike = "galaxy10") -> Dataset:
    """Load Galaxy10; download it if it is not on this machine.

    Parameters
    ----------
    path : str or path-like, default "galaxy10"
        ``"galaxy10"`` (SDSS, 210 MB) or ``"decals"`` (2.7 GB), which
        :func:`galclass.data.galaxy10.locate_galaxy10` finds or downloads; or the path of an HDF5
        file with the columns of these, ``images`` and ``ans``. Its attribute ``class_names``, a
        list of str, names its classes. Without it, the file gets the classes of the published file
        with images of the same size.

    Returns
    -------
    Dataset
        Named tuple ``images`` (uint8, (N, s, s, 3); s = 69 and N = 21,785 for SDSS, s = 256 and
        N = 17,736 for DECaLS), ``labels`` (uint8, (N,), from 0) and ``origin``. Red, green and
        blue are the bands i, r and g for SDSS, and z, r and g for DECaLS.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    DataError
        The file is not in this layout, or contradicts the data set that it should be.
    DownloadError
        The file is not on this machine and could not be downloaded.

    Warns
    -----
    UserWarning
        A file without ``class_names`` has no galaxies of some class.

    Examples
    --------
    >>> import galclass
    >>> images, labels, origin = galclass.load_galaxy10()
    >>> images.dtype, images.shape
    (dtype('uint8'), (..., 69, 69, 3))
    >>> origin.class_names[labels[0]]
    '...'
    """
    if isinstance(path, str) and path in DATASETS:
        return read_galaxy10(locate_galaxy10(path), layout=DATASETS[path])
    return read_galaxy10(path)


def locate_galaxy10(name: str = "galaxy10") -> Path:
    """Find a published file on this machine, or download it.

    If the environment variable ``GALCLASS_DATA`` is set, the file that it names is used instead.
    Otherwise, only the published file, identified by its sha256, is accepted: in ``data/`` of the
    working directory, in astroNN's cache, or in galclass's cache, where it is downloaded to.

    Parameters
    ----------
    name : {"galaxy10", "decals"}

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError, DataError, DownloadError
        See :func:`load_galaxy10`.
    """
    published = DATASETS[name]
    if stated := os.environ.get("GALCLASS_DATA"):
        return check_file(stated)
    in_data = Path("data") / published.file_name
    if in_data.exists():
        if sha256_of_file(check_file(in_data)) == published.sha256:
            return in_data
        raise DataError(
            f"{in_data} is not the published {published.file_name} (its sha256 differs); move it "
            "away, or give its path as the data to use it as it is"
        )
    # Path.home() would raise an error for an account without a home.
    home = Path(os.path.expanduser("~"))
    in_astronn = home / ".astroNN" / "datasets" / published.file_name
    if in_astronn.is_file() and os.access(in_astronn, os.R_OK):
        if sha256_of_file(in_astronn) == published.sha256:
            return in_astronn
        warnings.warn(f"{in_astronn} is damaged (wrong sha256) and is not used", stacklevel=3)
    return fetch_galaxy10(published)


def check_file(path: PathLike) -> Path:
    """Return the path of a regular file that can be read.

    Raises
    ------
    FileNotFoundError, DataError, PermissionError, ParameterError
        There is no such file, it is not a regular file, may not be read, or is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"path={type(path)}, expected the path of a Galaxy10 HDF5 file")
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file {path}; give the path of a Galaxy10 HDF5 file")
    if not path.is_file():  # Reading a pipe or a device could wait for ever.
        raise DataError(f"{path} is a directory or special file, expected one like Galaxy10.h5")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"no permission to read {path}; change it with chmod u+r, or copy it")
    return path


def fetch_galaxy10(
    published: Published = DATASETS["galaxy10"], *, cache: PathLike | None = None
) -> Path:
    """Download a published file, unless a complete copy is in the cache.

    The file gets its name only when it is complete and its sha256 is right. The addresses are
    tried in order; each is given up after 30 seconds without data.

    Parameters
    ----------
    published : Published, default ``DATASETS["galaxy10"]``
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
        The file in the cache is damaged, and is downloaded again.
    """
    if cache is None:
        cache = pooch.os_cache("galclass")
    target = Path(os.path.expanduser(cache)) / published.file_name
    with contextlib.suppress(OSError):  # A missing file; pooch reports anything else.
        if sha256_of_file(target) != published.sha256:
            warnings.warn(
                f"{target} is damaged (wrong sha256) and is downloaded again", stacklevel=2
            )
    pooch.get_logger().setLevel("WARNING")
    # Jupyter's standard error is not a terminal but shows a progress bar.
    show_progress = sys.stderr.isatty() or "ipykernel" in sys.modules
    downloader = pooch.HTTPDownloader(progressbar=show_progress, timeout=TIMEOUT)
    reasons = []
    for url in published.urls:
        try:
            path = pooch.retrieve(
                url,
                known_hash=published.sha256,
                fname=published.file_name,
                path=target.parent,
                downloader=downloader,
            )
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            reasons.append(f"{url}: {_describe_error(error)}")
        else:
            return Path(path)
    raise DownloadError(
        f"{target} could not be downloaded. {'; '.join(reasons)}. Download {published.urls[0]} by "
        f"hand to data/{published.file_name}, or use --data simulated"
    )


def _describe_error(error: BaseException) -> str:
    """Return the innermost reason of an error on one line.

    requests hides it in the first argument of an error, or in the attribute ``reason`` of that.
    """
    while error.args:
        inner = getattr(error.args[0], "reason", error.args[0])
        if not isinstance(inner, BaseException):
            break
        error = inner
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def read_galaxy10(path: PathLike, *, layout: Published | None = None) -> Dataset:
    """Read an HDF5 file with the columns ``images`` and ``ans``; other columns are ignored.

    Parameters
    ----------
    path : path-like
    layout : Published, optional
        The published file whose image size and classes the file must have. Default: what the
        file itself states, see :func:`load_galaxy10`.

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is not HDF5, is truncated, lacks a column, has a column of another shape, type or
        range, or contradicts `layout`.
    """
    path = check_file(path)
    with open_galaxy10(path, "images", "ans") as file:
        images = check_images(file["images"][:], name=str(path))
        answers = file["ans"][:]
        stated_names = _read_class_names(file)
        stated_origin = _read_origin(file)
    kind = _find_published(path)
    layout = _choose_layout(path, kind, layout, images, stated_names)
    if layout is None:
        class_names = check_class_names(stated_names)
    else:
        class_names = layout.class_names
    labels = check_labels(answers, len(images), classes=len(class_names), name=str(path))
    if layout is not None and stated_names is None:
        _warn_of_absent_classes(path, labels, layout)
    origin = Origin.of_arrays(images, labels, class_names)
    if kind is not None:
        title = DATASETS[kind].title
        crop = DATASETS[kind].crop
        origin = replace(origin, kind=kind, title=title, name=path.name, crop=crop)
    elif stated_origin is not None and stated_origin.simulated:
        origin = _describe_simulated(path, origin, stated_origin)
    else:
        crop = None
        if stated_origin is not None:
            crop = stated_origin.crop
        elif layout is not None:
            crop = layout.crop
        title = f"Galaxies of {path.name}"
        origin = replace(origin, kind="file", title=title, name=path.name, crop=crop)
    return Dataset(images, labels, origin)


def _choose_layout(
    path: Path,
    kind: str | None,
    wanted: Published | None,
    images: Images,
    stated_names: tuple[str, ...] | None,
) -> Published | None:
    """Return the published file whose classes a file has, None if it states other classes.

    Raises
    ------
    DataError
        The file is another published file than the wanted one, or has another image size or other
        class names, or nothing states its classes.
    """
    if kind is not None:
        if wanted not in (None, DATASETS[kind]):
            raise DataError(
                f"{path} is {DATASETS[kind].title}, expected {wanted.title}; give the path of such "
                "a file"
            )
        return DATASETS[kind]
    if wanted is not None:
        _check_layout(path, images, stated_names, wanted)
        return wanted
    if stated_names is not None:
        return None
    return _find_layout(path, images)


def _find_published(path: Path) -> str | None:
    """Return the name of the published data set that a file is, by its sha256."""
    digest = sha256_of_file(path)
    for name, published in DATASETS.items():
        if published.sha256 == digest:
            return name
    return None


def _find_layout(path: Path, images: Images) -> Published:
    """Return the published file with images of this size.

    Raises
    ------
    DataError
        Not exactly one published file has images of this size.
    """
    side = images.shape[1]
    layouts = [published for published in DATASETS.values() if published.side == side]
    if len(layouts) != 1:
        sides = " or ".join(f"{one.side} ({one.title})" for one in DATASETS.values())
        raise DataError(
            f"{path}: images of {side} x {side} pixels without names of their classes, expected "
            f"{sides} pixels; write the names into the attribute class_names of the file"
        )
    return layouts[0]


def _check_layout(
    path: Path, images: Images, stated_names: tuple[str, ...] | None, layout: Published
) -> None:
    side = images.shape[1]
    if side != layout.side:
        raise DataError(
            f"{path}: images of {side} x {side} pixels, expected {layout.side} x {layout.side} as "
            f"in {layout.title}; give the path of such a file"
        )
    if stated_names not in (None, layout.class_names):
        raise DataError(
            f"{path}: classes {stated_names}, expected the classes of {layout.title}; give the "
            "path of the file as the data to use it as it is"
        )


def _warn_of_absent_classes(path: Path, labels: Labels, layout: Published) -> None:
    absent = np.setdiff1d(np.arange(len(layout.class_names)), labels).tolist()
    if absent:
        warnings.warn(
            f"{path.name} does not name its classes: they are taken to be the classes of "
            f"{layout.title}, but it has no galaxies of {absent}. If they are others, write their "
            "names into the attribute class_names of the file",
            stacklevel=4,
        )


def _describe_simulated(path: Path, found: Origin, stated: Origin) -> Origin:
    """Return the stated origin, with the name of the file if the galaxies were changed since."""
    name = stated.name
    if found.sha256 != stated.sha256:
        name = path.name
    return replace(
        stated,
        name=name,
        sha256=found.sha256,
        galaxies=found.galaxies,
        class_names=found.class_names,
    )


def _read_class_names(file: h5py.File) -> tuple[str, ...] | None:
    """Return the attribute ``class_names``, a list of str."""
    names = file.attrs.get("class_names")
    if names is None:
        return None
    names = np.asarray(names).tolist()
    if isinstance(names, list):
        names = [name.decode() if isinstance(name, bytes) else name for name in names]
    try:
        return check_class_names(names)
    except (ParameterError, TypeError) as error:
        raise DataError(
            f"{file.filename}: class_names {names!r}, expected a list of different names"
        ) from error


def _read_origin(file: h5py.File) -> Origin | None:
    """Return the origin that :func:`galclass.load.write_data` wrote into a file."""
    record = file.attrs.get("origin")
    if record is None:
        return None
    try:
        return Origin.from_record(json.loads(record))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{file.filename}: its attribute origin is damaged ({error}); copy the file again"
        ) from error


@contextlib.contextmanager
def open_galaxy10(path: PathLike, *columns: str) -> Iterator[h5py.File]:
    """Open an HDF5 file and check the named columns, without reading their data.

    Raises
    ------
    FileNotFoundError, DataError
        See :func:`read_galaxy10`.
    """
    path = check_file(path)
    try:
        with h5py.File(path, "r") as file:
            for column in columns:
                _check_column(path.name, file, column)
            yield file
    except DataError:
        raise
    except Exception as error:  # h5py raises a different type for each kind of damage.
        raise DataError(f"cannot read {path} as HDF5 ({error}); fetch or copy it again") from error


def _check_column(name: str, file: h5py.File, column: str) -> None:
    data = file.get(column)
    # The sha256 of a file does not cover data that are stored in another file.
    inside = isinstance(data, h5py.Dataset) and data.file.filename == file.filename
    if not inside or data.is_virtual or data.external:
        raise DataError(f"{name} has no column {column!r} in it, expected images and ans there")
    if column == "images":
        square = data.ndim == 4 and data.shape[1] == data.shape[2] and data.shape[3] == 3
        if data.dtype != np.uint8 or not square:
            raise DataError(
                f"{name}: {data.dtype} {data.shape}, expected uint8 images of shape (N, s, s, 3)"
            )
    # One byte of deflate expands to at most 1,032 (https://zlib.net/zlib_tech.html): if the ratio
    # is larger, with some margin, data are missing.
    if data.nbytes > 1100 * data.id.get_storage_size():
        raise DataError(
            f"{name} is cut off: its header announces {len(data):,} galaxies; copy it again"
        )
