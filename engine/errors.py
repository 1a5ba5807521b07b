"""The engine's errors.

::

    EngineError                     something went wrong; exit status 1
    ├── InputError                  what the caller gave is wrong; exit status 2
    │   ├── RasterReadError         a raster cannot be opened or read          (OSError)
    │   ├── BandError               a band does not exist, or their count is wrong (ValueError)
    │   ├── GridError               CRSs, extents or shapes do not go together (ValueError)
    │   ├── ValuesError             values are not those of the training, and that is refused (ValueError)
    │   ├── LabelError              labels do not fit the classes              (ValueError)
    │   ├── ModalityError           a modality is unknown or none is given     (ValueError)
    │   ├── RecipeError             a key of a recipe is wrong                 (ValueError)
    │   ├── LegendError             descriptions of classes are wrong          (ValueError)
    │   ├── TextEncoderError        a text encoder cannot be had, or its vectors do not fit (ValueError)
    │   ├── SplitError              a split is empty or a class never occurs   (ValueError)
    │   ├── ModelError              a file is no model of this engine          (ValueError)
    │   ├── RunError                a run folder is incomplete or does not fit (ValueError)
    │   └── DeviceError             the device asked for cannot be used        (RuntimeError)
    ├── OutputError                 a result cannot be written                 (OSError)
    │   └── BusyError               another process is at work on it
    ├── ExportError                 a network cannot be exported, or differs when it is
    └── Cancelled                   the caller asked to stop

A message says what was expected, what was found, where (file, band, window, key) and what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class EngineError(Exception):
    """Root of every error that the engine raises on purpose."""

    exit_status = 1


class InputError(EngineError):
    """What the caller gave is wrong, and the caller can mend it."""

    exit_status = 2


class RasterReadError(InputError, OSError):
    """A raster cannot be opened or read."""


class BandError(InputError, ValueError):
    """A band does not exist, or there are too few or too many."""


class GridError(InputError, ValueError):
    """Coordinate reference systems, extents or shapes do not go together."""


class ValuesError(InputError, ValueError):
    """A sensor's values are not those that the model was trained on, and the caller refuses such."""


class LabelError(InputError, ValueError):
    """Labels do not fit the classes."""


class ModalityError(InputError, ValueError):
    """A modality is unknown, given twice, or none is given."""


class RecipeError(InputError, ValueError):
    """A key of a recipe is unknown, missing or impossible."""


class LegendError(InputError, ValueError):
    """Descriptions of classes cannot be read, are wrong, or are missing."""


class TextEncoderError(InputError, ValueError):
    """A text encoder cannot be loaded, or its vectors do not fit the classes."""


class SplitError(InputError, ValueError):
    """A split is empty, or a class never occurs in it."""


class ModelError(InputError, ValueError):
    """A file is no model of this engine, or of a newer one."""


class RunError(InputError, ValueError):
    """A run folder is missing, incomplete, or of another recipe."""


class DeviceError(InputError, RuntimeError):
    """The device asked for cannot be used."""


class OutputError(EngineError, OSError):
    """A result cannot be written."""


class BusyError(OutputError):
    """Another process is at work on the same output or run folder."""


class ResourceError(EngineError, MemoryError):
    """The machine has too little memory."""


class ExportError(EngineError):
    """A network cannot be exported, or answers differently once it is."""


class Cancelled(EngineError):  # noqa: N818 (it is what happened, not a fault)
    """The caller asked to stop."""


_EXTRAS = {
    "onnxruntime": "cpu",
    "geopandas": "vector",
    "shapely": "vector",
    "skimage": "vector",
    "scipy": "vector",
    "sklearn": "baseline",
    "pystac": "cluster",
    "stac_model": "cluster",
}
"""The extra that brings an optional library; all others come with ``train``."""


def how_to_install(extra: str) -> str:
    """What to do for a library that is missing; the engine is on no index of packages.

    Args:
        extra: That brings it.
    """
    return f'pip install ".[{extra}]" in the project\'s folder'


def is_missing(module: str) -> str:
    """Says which library is missing and what brings it.

    Args:
        module: As it is imported.
    """
    extra = _EXTRAS.get(module.partition(".")[0], "train")
    return f"this needs {module}, which is not installed: {how_to_install(extra)}"


@contextmanager
def prefixed(where: str) -> Iterator[None]:
    """Says in which part of a recipe an error is.

    Args:
        where: What comes before its message.
    """
    try:
        yield
    except (RecipeError, LegendError, TextEncoderError) as error:
        raise type(error)(f"{where}{error}") from error
