"""The errors of galclass: each says what was found, what was expected and what to do."""


class GalclassError(Exception):
    """Base class of all errors that galclass raises itself."""


class DataError(GalclassError, ValueError):
    """Images, labels, tables or files are not in the expected form."""


class ParameterError(GalclassError, ValueError):
    """A parameter is unknown, out of range or of another type."""


class RunError(GalclassError, RuntimeError):
    """A run or output is missing, unfinished or damaged, already exists, or cannot be written."""


class DownloadError(GalclassError, OSError):
    """A file, a cutout or a position could not be downloaded."""


class MissingPackageError(GalclassError, ImportError):
    """An optional package is not installed."""
