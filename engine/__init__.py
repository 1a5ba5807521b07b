"""Land-cover maps from whatever subset of a model's sensors is present, pixel by pixel."""

from importlib.metadata import version

__version__ = version("robust-landcover")
