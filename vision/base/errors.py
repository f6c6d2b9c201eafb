"""Errors that a user can mend. Each message names the thing, its value and the way out.

PipelineError
├── ParamsError      params.yaml holds a key or a value that cannot be used
├── SourceError      images or weights cannot be fetched or read
│   ├── ChecksumError    the bytes are not the ones that were expected
│   ├── ArchiveError     an archive is damaged or holds members that are refused
│   └── ImageError       a file is not an image that can be used
├── DataError        the images do not allow what was asked: too few, one class, ...
├── TrainingError    training went astray: the loss is not finite, ...
├── DepsError        a stage imports what dvc.yaml does not list
├── ChangedError     code, params or inputs changed while a stage was running
└── BusyError        the same stage is at work in this folder already
"""

import errno

FULL = {errno.ENOSPC, errno.EDQUOT}  # errors of a disk that has no room left


class PipelineError(Exception):
    """Base of all errors that end a stage with one line and exit status 1."""


class ParamsError(PipelineError):
    """A parameter is unknown, missing or out of range."""


class SourceError(PipelineError):
    """Images or weights cannot be fetched or read."""


class ChecksumError(SourceError):
    """Bytes differ from the expected checksum."""


class ArchiveError(SourceError):
    """An archive is damaged or unsafe."""


class ImageError(SourceError):
    """A file is not a usable image."""


class DataError(PipelineError):
    """The images do not allow what was asked."""


class TrainingError(PipelineError):
    """Training went astray."""


class DepsError(PipelineError):
    """A stage imports code that dvc.yaml does not list."""


class ChangedError(PipelineError):
    """Code, params or inputs changed while a stage was running."""


class BusyError(PipelineError):
    """The same stage is at work in this folder already."""
