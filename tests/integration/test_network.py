"""Sources on a server of this machine: mapped as from the disk; one that fails or stalls is a typed error."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from making import make_map

from engine.errors import RasterReadError
from engine.files import file_digest
from engine.mapping import predict as predicting
from engine.raster.sources import SourceSpec

Serve = Callable[[str], SourceSpec]


@pytest.fixture
def elevation(scenes: Path, tmp_path: Path) -> Path:
    """The second scene's elevation, ten times below itself, uncompressed."""
    with rasterio.open(scenes / "second/dem.tif") as source:
        profile = source.profile | {"height": 2000, "compress": None}
        values = np.tile(source.read(), (1, 10, 1))
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(values)
    return tmp_path / "dem.tif"


@pytest.fixture
def serve(elevation: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that goes well, fails or stalls beyond half of the file; GDAL gives up after a second."""
    patience = {"GDAL_HTTP_TIMEOUT": 1, "GDAL_HTTP_CONNECTTIMEOUT": 1, "GDAL_HTTP_MAX_RETRY": 0}
    monkeypatch.setattr(predicting, "NETWORK", patience)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = []

    def start(how: str) -> SourceSpec:
        script = Path(__file__).with_name("range_server.py")
        process = subprocess.Popen([sys.executable, script, elevation, how], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return SourceSpec(f"/vsicurl/http://127.0.0.1:{int(process.stdout.readline())}/dem.tif")

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_a_source_on_a_server_is_mapped_as_from_the_disk(
    model_path: Path, serve: Serve, elevation: Path, tmp_path: Path
) -> None:
    make_map(model_path, {"dem": [serve("well")]}, tmp_path / "far.tif", device="cpu", threads=2)
    make_map(model_path, {"dem": [SourceSpec(str(elevation))]}, tmp_path / "near.tif", device="cpu", threads=2)
    assert file_digest(tmp_path / "far.tif") == file_digest(tmp_path / "near.tif")


@pytest.mark.parametrize("how", ["fails", "stalls"])
def test_a_server_in_trouble_is_an_error_that_names_the_window(
    model_path: Path, serve: Serve, tmp_path: Path, how: str
) -> None:
    with pytest.raises(RasterReadError, match=r"vsicurl.*dem\.tif: cannot be read at rows \d+-\d+, columns \d+-\d+"):
        make_map(model_path, {"dem": [serve(how)]}, tmp_path / "map.tif", device="cpu", threads=2)
    assert not (tmp_path / "map.tif").exists()
