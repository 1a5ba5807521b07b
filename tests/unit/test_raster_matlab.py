"""MATLAB files (version 5, and 7.3, which is HDF5) and ENVI files as rasters and labels."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray

from engine.cli.inspect import command as inspect
from engine.data.scenes import scene_specs
from engine.data.settings import DataSettings
from engine.data.survey import SceneCollection
from engine.errors import BandError, RasterReadError
from engine.grid import Grid, Window
from engine.modality import LandClass, Modality
from engine.raster.alignment import AlignedReader
from engine.raster.identity import identity as source_identity
from engine.raster.labels import LabelMapping, open_labels
from engine.raster.sources import SourceSpec, open_source

scipy_io = pytest.importorskip("scipy.io")
h5py = pytest.importorskip("h5py")

Arrays = Mapping[str, NDArray[Any]]
Save = Callable[..., Path]
PLAIN = Grid(None, Affine.identity(), 2, 3)
CLASSES = (LandClass(2, "wood", "#00ff00"), LandClass(7, "town", "#ff0000"))
# element (row, column, band) of CUBE says where it stands: 100 * row + 10 * column + band
CUBE = np.array([[[100 * r + 10 * c + b for b in range(4)] for c in range(3)] for r in range(2)], "float64")
MAP = np.array([[2, 7, 0], [7, 2, 2]], "uint8")


def save_5(path: Path, arrays: Arrays) -> None:
    scipy_io.savemat(path, dict(arrays), do_compression=True)


def save_7_3(path: Path, arrays: Arrays) -> None:
    """As MATLAB does: axes in reverse, the class as an attribute, behind 512 bytes of its own."""
    names = {"float64": "double", "complex128": "double", "float32": "single", "bool": "logical"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            stored = values.astype("uint8") if values.dtype == bool else values
            if values.dtype == complex:
                stored = np.rec.fromarrays([values.real, values.imag], names="real,imag")
            dataset = file.create_dataset(name, data=stored.transpose(), chunks=stored.ndim > 1 or None)
            dataset.attrs["MATLAB_class"] = np.bytes_(names.get(values.dtype.name, values.dtype.name))


@pytest.fixture(params=[save_5, save_7_3], ids=["5", "7.3"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Save:
    """Writes arrays as a MATLAB file of either version."""

    def write(name: str = "scene.mat", **arrays: NDArray[Any]) -> Path:
        request.param(tmp_path / name, arrays)
        return tmp_path / name

    return write


def read(text: str, grid: Grid = PLAIN) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with AlignedReader([SourceSpec.parse(text)], grid) as reader:
        block = reader.read(grid.window)
    return block.values, block.valid


def refusal(text: str) -> str:
    with pytest.raises(RasterReadError) as caught:
        open_source(SourceSpec.parse(text))
    return str(caught.value)


def test_a_variable_has_rows_columns_and_bands_as_matlab_shows_it(save: Save) -> None:
    path = save(cube=CUBE, other=CUBE + 1)
    with open_source(SourceSpec.parse(f"{path}:cube")) as source:
        assert source.grid == PLAIN
        assert (source.dtype, source.band_names[3]) == ("float64", "band 4")
    values, valid = read(f"{path}:cube")
    assert values.shape == (4, 2, 3)
    assert values[3, 1, 2] == 123
    np.testing.assert_array_equal(values[:, 1, 0], [100, 101, 102, 103])
    assert valid.all()


def test_bands_of_a_variable_are_chosen_as_those_of_a_file(save: Save) -> None:
    path = save(cube=CUBE)
    np.testing.assert_array_equal(read(f"{path}:cube@4,1")[0][:, 0, 2], [23, 20])
    with pytest.raises(BandError, match=r"scene\.mat:cube: there is no band '5'; it has bands 1 to 4"):
        open_source(SourceSpec.parse(f"{path}:cube@5"))


def test_the_only_array_needs_no_name(save: Save) -> None:
    path = save(cube=CUBE, wavelengths=np.arange(4.0)[None], count=np.array([[4.0]]))
    assert read(str(path))[0][3, 1, 2] == 123
    assert read(f"{path}@2")[0][0, 1, 2] == 121


def test_four_bands_of_bytes_are_no_colours_with_an_alpha(save: Save) -> None:
    values, valid = read(str(save(cube=CUBE.astype("uint8"))))
    assert values.shape == (4, 2, 3)
    assert values[3, 0, 0] == 3
    assert valid.all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float32"])
def test_data_types_stay(save: Save, dtype: str) -> None:
    values, _ = read(str(save(cube=(CUBE - 100 * (dtype[0] != "u")).astype(dtype))))
    assert values.dtype == dtype
    assert values[3, 0, 1] == 13 - 100 * (dtype[0] != "u")


def test_whole_doubles_that_matlab_saved_as_integers_are_doubles(tmp_path: Path) -> None:
    scipy_io.savemat(tmp_path / "plain.mat", {"cube": CUBE.astype("uint16")}, do_compression=False)
    content = bytearray((tmp_path / "plain.mat").read_bytes())
    flags = content.index(bytes([6, 0, 0, 0, 8, 0, 0, 0])) + 8  # miUINT32 of 8 bytes: class and flags
    assert content[flags] == 11  # mxUINT16_CLASS
    content[flags] = 6  # mxDOUBLE_CLASS, the values as they are
    (tmp_path / "plain.mat").write_bytes(content)
    values, _ = read(str(tmp_path / "plain.mat"))
    assert values.dtype == np.float64
    assert values[3, 1, 2] == 123


def test_logical_is_zero_and_one(save: Save) -> None:
    values, _ = read(str(save(mask=MAP == 2)))
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, [[[1, 0, 0], [0, 1, 1]]])


def test_not_a_number_is_invalid(save: Save) -> None:
    cube = CUBE.astype("float32")
    cube[1, 2, 0] = np.nan
    _, valid = read(str(save(cube=cube)))
    np.testing.assert_array_equal(valid, [[True, True, True], [True, True, False]])


def test_a_scene_larger_than_a_block_is_copied_whole(save: Save) -> None:
    large = np.arange(150 * 70 * 2, dtype="int32").reshape(150, 70, 2)
    values, _ = read(str(save(cube=large)), Grid(None, Affine.identity(), 150, 70))
    np.testing.assert_array_equal(values[1], large[:, :, 1])


def test_variables_are_listed_where_the_named_one_is_missing(save: Save) -> None:
    path = save(cube=CUBE, gt=MAP)
    message = refusal(f"{path}:map")
    assert f"{path}: holds no variable map" in message
    assert "cube (2 x 3 x 4 double), gt (2 x 3 uint8)" in message


def test_one_of_several_arrays_must_be_named(save: Save) -> None:
    path = save(cube=CUBE, gt=MAP)
    assert f"name one, as in {path}:cube" in refusal(str(path))


def test_what_is_no_raster_is_refused(save: Save) -> None:
    path = save(four=np.zeros((2, 3, 2, 2)), waves=np.array([CUBE[0]] * 2) * 1j)
    assert "four (2 x 3 x 2 x 2 double) is no raster, which has rows, columns and bands" in refusal(f"{path}:four")
    assert "and a raster real numbers; save what is wanted of them, for instance abs(waves)" in refusal(f"{path}:waves")


def test_a_file_without_an_array_is_refused(save: Save) -> None:
    assert "holds no array of rows and columns; its variables: x (1 x 4 double)" in refusal(str(save(x=CUBE[:1, 0])))


def test_text_cells_and_structs_are_no_arrays_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "scene.mat"
    save_5(path, {"name": np.array(["abc", "def"]), "parts": np.array([["a", 1]], object), "info": {"cube": CUBE}})
    for name in ("name", "parts", "info"):
        assert "is no array of logical" in refusal(f"{path}:{name}")
    with h5py.File(path, "w", userblock_size=512) as file:
        file["name"] = np.array([[97, 98]], "uint16")
        file["name"].attrs["MATLAB_class"] = np.bytes_("char")
        file["info/cube"] = CUBE
        file["#refs#/a"] = CUBE
    for name in ("name", "info"):
        assert "is no array of logical" in refusal(f"{path}:{name}")
    assert "holds no array of rows and columns" in refusal(str(path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_named(save: Save, share: float) -> None:
    path = save(cube=np.random.default_rng(0).random((20, 30, 4)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = refusal(f"{path}:cube")
    assert message.startswith(f"{path}: ")


def test_a_missing_file_and_another_kind_of_file_are_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(f"{tmp_path}/none.mat:cube")
    (tmp_path / "folder.mat").mkdir()
    assert "Is a directory" in refusal(f"{tmp_path}/folder.mat")
    (tmp_path / "text.mat").write_text("no MATLAB file, but text " * 20)
    assert "cannot be read as a MATLAB file" in refusal(f"{tmp_path}/text.mat")


@pytest.mark.parametrize("library", ["scipy.io", "h5py"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    path = tmp_path / "scene.mat"
    (save_5 if library == "scipy.io" else save_7_3)(path, {"cube": CUBE})
    monkeypatch.setitem(sys.modules, library, None)
    name = library.partition(".")[0]
    assert (
        refusal(str(path)) == f'{path}: {name} is needed to read it: pip install ".[matlab]" in the project\'s folder'
    )


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (r"C:\scenes\x.mat", r"C:\scenes\x.mat"),
        (r"C:\scenes\x.mat:cube", r"C:\scenes\x.mat"),
        ("C:x.mat:cube", "C:x.mat"),
        ("scenes.mat/x.MAT:cube", "scenes.mat/x.MAT"),
        ('HDF5:"x.mat"://cube', 'HDF5:"x.mat"://cube'),
        ("NETCDF:x.mat:cube", "NETCDF:x.mat:cube"),
        ("scene.tif:cube", "scene.tif:cube"),
    ],
)
def test_the_file_of_a_variable_is_told_from_drives_and_subdatasets(text: str, file: str) -> None:
    assert SourceSpec(text).file == file
    assert SourceSpec.parse(f"{text}@1") == SourceSpec(text, ("1",))


def test_open_sources_share_one_copy_that_the_last_one_frees(save: Save) -> None:
    path = save(cube=CUBE)
    first, second = (open_source(SourceSpec(f"{path}:cube")) for _ in range(2))
    name = first.dataset.name
    assert second.dataset.name == name
    first.close()
    assert second.dataset.read(4)[1, 2] == 123
    second.close()
    with pytest.raises(rasterio.RasterioIOError):
        rasterio.open(name)


def test_a_changed_file_is_read_anew(save: Save) -> None:
    path = save(cube=CUBE)
    with open_source(SourceSpec(f"{path}:cube")) as before:
        identity = source_identity(before.spec)
        save(cube=CUBE + 1)
        os.utime(path, ns=(0, 0))
        assert read(f"{path}:cube")[0][3, 1, 2] == 124
        assert before.dataset.read(4)[1, 2] == 123
        assert source_identity(before.spec) != identity


def test_a_recipe_takes_scenes_and_labels_from_variables(save: Save, tmp_path: Path) -> None:
    for number in (1, 2):
        save(f"s{number}.mat", cube=CUBE + number)
    save("gt1.mat", gt=MAP.astype("float64"), other=MAP)
    save("gt2.mat", gt=MAP.astype("float64"), other=MAP)
    scene = {"name": "all", "sources": {"a": "s{tile}.mat:cube@2"}, "labels": {"path": "gt{tile}.mat:gt"}}
    single = {"name": "one", "sources": {"a": "s1.mat@1"}}
    everywhere = {"kind": "scenes", "validation": {"match": "one"}, "train": {"match": "*"}}
    data = DataSettings.model_validate(
        {"root": tmp_path, "scenes": [single, scene], "split": everywhere, "labels": {"ignore": [0]}}
    )
    assert [spec.name for spec in scene_specs(data, tmp_path)] == ["one", "all/1", "all/2"]
    collection = SceneCollection(data, tmp_path, (Modality("a", ("x",), "float32"),), CLASSES)
    patch = collection[2].read(Window(0, 0, 2, 3), "train")
    assert patch.values["a"][0, 1, 2] == 121 + 2
    assert patch.valid.all()
    np.testing.assert_array_equal(patch.labels, [[0, 1, -1], [1, 0, 0]])
    assert collection[0].read(Window(0, 0, 2, 3), "train").values["a"][0, 1, 2] == 120 + 1
    collection.close()


def test_inspect_shows_a_variable(save: Save) -> None:
    shown = CliRunner().invoke(inspect, [f"{save(cube=CUBE, gt=MAP)}:cube@3"])
    assert "scene.mat:cube@3: 3 x 2 pixels, float64" in shown.output
    assert "no coordinate reference system" in shown.output


def write_envi(path: Path, values: NDArray[Any], interleave: str, header: str) -> None:
    """An ENVI file by its definition: ``values`` ``[rows, columns, bands]`` in raw bytes, and a header of text."""
    order = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    path.write_bytes(np.ascontiguousarray(values.transpose(order)).tobytes())
    rows, columns, bands = values.shape
    kind = {"uint8": 1, "int16": 2, "float32": 4}[values.dtype.name]
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {columns}\nlines = {rows}\nbands = {bands}\nheader offset = 0\n"
        f"data type = {kind}\ninterleave = {interleave}\nbyte order = 0\n{header}"
    )


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_envi_files_have_bands_by_name_and_nodata(tmp_path: Path, interleave: str, dtype: str) -> None:
    values = CUBE.astype(dtype)
    values[0, 1] = -50
    write_envi(
        tmp_path / "scene.raw", values, interleave,
        "file type = ENVI Standard\nband names = { 430 nm, 550 nm, 670 nm, 800 nm }\ndata ignore value = -50\n",
    )  # fmt: skip
    found, valid = read(f"{tmp_path / 'scene.raw'}@800 nm,1")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[:, 1, 2], [123, 120])
    np.testing.assert_array_equal(valid, [[True, False, True], [True, True, True]])


def test_an_envi_classification_gives_labels(tmp_path: Path) -> None:
    header = (
        "file type = ENVI Classification\nclasses = 8\nclass names = { Unclassified, a, wood, c, d, e, f, town }\n"
        f"class lookup = {{ {', '.join(['0'] * 24)} }}\n"
    )
    write_envi(tmp_path / "truth.raw", MAP[:, :, None], "bsq", header)
    labels = open_labels(str(tmp_path / "truth.raw"), PLAIN, LabelMapping(CLASSES, {}, frozenset({0})))
    np.testing.assert_array_equal(labels.read(PLAIN.window), [[0, 1, -1], [1, 0, 0]])
    labels.close()
