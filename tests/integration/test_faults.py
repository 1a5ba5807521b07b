"""Full disks, kills, several at once, damaged bytes, odd jobs: an error or the map, never half of one."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from faults import (
    Mapping,
    at_once,
    can_mount,
    damaged_bytes,
    full_disks,
    killed_while_publishing,
    odd_jobs,
    wrong_jobs,
)
from making import make_map

from engine.errors import BusyError, Cancelled, OutputError, RasterReadError
from engine.locks import Lock
from engine.mapping.plan import part_folder
from engine.mapping.verify import Verified, verify
from engine.raster.identity import changed, files_of, identity, state_of
from engine.raster.masks import MaskSpec
from engine.raster.sources import SourceSpec


@pytest.fixture(scope="module")
def mapping(model_path: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping:
    """A map of radar and elevation, which nothing disturbed."""
    sources = [f"{name}={scenes / 'second' / name}.tif" for name in ("sar", "dem")]
    return Mapping(model_path, sources, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def whole(model_path: Path, scenes: Path, tmp_path: Path) -> Path:
    """A folder with a map of elevation."""
    folder = tmp_path / "whole"
    folder.mkdir()
    make_map(model_path, {"dem": [str(scenes / "second/dem.tif")]}, folder / "map.tif", device="cpu")
    return folder


@pytest.mark.skipif(not can_mount(), reason="only root may mount a file system in memory")
@pytest.mark.parametrize("sizes", [(4, 40, 100), (160, 220, 400)], ids=str)
def test_a_full_disk_is_an_error_and_with_room_the_same_map(
    mapping: Mapping, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    wrong, _ = full_disks(mapping, tmp_path, sizes)
    assert wrong == []


def test_a_file_that_may_not_grow_is_an_error_and_without_the_limit_the_same_map(
    mapping: Mapping, tmp_path: Path
) -> None:
    """Also where no file system can be mounted."""
    wrong, fitted = full_disks(mapping, tmp_path, (1, 3, 400), mount=False)
    assert wrong == []
    assert fitted == 1


def test_of_several_starts_at_once_one_makes_the_map(mapping: Mapping, tmp_path: Path) -> None:
    assert at_once(mapping, tmp_path, times=2, together=4) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_a_kill_while_maps_get_their_names_leaves_the_old_map_or_the_new_one(
    mapping: Mapping, tmp_path: Path, seed: int
) -> None:
    wrong, kills = killed_while_publishing(mapping, tmp_path, 10, seed)
    assert wrong == []
    assert kills > 0


def test_a_flipped_bit_anywhere_is_found(whole: Path) -> None:
    assert damaged_bytes(whole, 120, verify) == []


@pytest.mark.parametrize("part", range(4))
def test_odd_jobs_are_answered_with_an_error(model_path: Path, scenes: Path, tmp_path: Path, part: int) -> None:
    assert wrong_jobs(odd_jobs(model_path, scenes / "second/dem.tif", tmp_path)[part::4]) == []


def rewritten(path: Path, **changes: object) -> None:
    """A raster written anew with another profile."""
    with rasterio.open(path) as dataset:
        profile, values = dataset.profile | changes, dataset.read()
        table, names, tags = dataset.colormap(1), dataset.descriptions, dataset.tags()
    sidecar = path.with_name(f"{path.name}.aux.xml")
    legend = sidecar.read_bytes()
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
        dataset.write_colormap(1, table)
        dataset.descriptions = names
        dataset.update_tags(**tags)
    sidecar.write_bytes(legend)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"crs": "EPSG:32633"}, "coordinate reference system"),
        ({"transform": rasterio.Affine(10, 0, 7, 0, -10, 7)}, "georeference"),
        ({"nodata": 254}, "nodata value"),
    ],
)
def test_what_was_changed_is_named(whole: Path, changes: dict[str, object], named: str) -> None:
    rewritten(whole / "map.tif", **changes)
    with pytest.raises(RasterReadError, match=rf"changed: [^;]*{named}"):
        verify(whole / "map.tif")


def test_statistics_that_a_gis_adds_are_no_damage(whole: Path) -> None:
    """As GDAL writes them; what stood in the file is kept."""
    sidecar = whole / "map.tif.aux.xml"
    text = sidecar.read_text(encoding="utf-8")
    added = '<Metadata>\n    <MDI key="STATISTICS_MAXIMUM">6</MDI>\n  </Metadata>\n</PAMRasterBand>'
    sidecar.write_text(text.replace("</PAMRasterBand>", added), encoding="utf-8")
    assert verify(whole / "map.tif") == Verified(
        "unchanged", ("map.tif.aux.xml holds statistics that another program added",)
    )
    sidecar.write_text(text.replace(">forest<", ">desert<"), encoding="utf-8")
    with pytest.raises(RasterReadError, match=r"map\.tif\.aux\.xml was changed or damaged"):
        verify(whole / "map.tif")


def test_quick_looks_at_size_and_time(whole: Path) -> None:
    assert "size and time" in verify(whole / "map.tif", quick=True).text
    (whole / "map.tif").touch()
    with pytest.raises(RasterReadError, match="leave out --quick"):
        verify(whole / "map.tif", quick=True)


def test_a_finished_map_is_written_over_on_request_alone(model_path: Path, scenes: Path, whole: Path) -> None:
    sources, path = {"dem": [str(scenes / "second/dem.tif")]}, whole / "map.tif"
    before = path.stat().st_mtime_ns
    with pytest.raises(OutputError, match=r"map\.tif: is there already; .* --overwrite"):
        make_map(model_path, sources, path, device="cpu", overwrite=False)
    assert path.stat().st_mtime_ns == before
    make_map(model_path, sources, path, device="cpu", overwrite=True)
    assert path.stat().st_mtime_ns > before
    assert verify(path).text == "unchanged"


def test_what_stands_where_a_map_puts_its_style_is_written_over_on_request_alone(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    """As the style of a vector layer of the map's name, or that of another map."""
    sources = {"dem": [str(scenes / "second/dem.tif")]}
    (tmp_path / "study.qml").write_text("of study.gpkg")
    with pytest.raises(OutputError, match=r"study\.qml: is there already; .* --overwrite"):
        make_map(model_path, sources, tmp_path / "study.tif", device="cpu", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["study.qml"]
    assert (tmp_path / "study.qml").read_text() == "of study.gpkg"


def test_going_on_with_a_map_does_not_write_over_an_older_one_unasked(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    """The job that was stopped had leave to; the one that goes on asks again."""
    path, dem = tmp_path / "map.tif", {"dem": [str(scenes / "second/dem.tif")]}
    make_map(model_path, dem, path, device="cpu")
    before = path.read_bytes()
    both = dem | {"sar": [str(scenes / "second/sar.tif")]}
    shares: list[float] = []
    with pytest.raises(Cancelled):
        make_map(
            model_path,
            both,
            path,
            device="cpu",
            overwrite=True,
            progress=shares.append,
            cancelled=lambda: max(shares, default=0) > 0.5,
        )
    assert part_folder(path).exists()
    with pytest.raises(OutputError, match=r"map\.tif: is there already; .* --overwrite"):
        make_map(model_path, both, path, device="cpu", overwrite=False)
    assert path.read_bytes() == before
    make_map(model_path, both, path, device="cpu", overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["/vsimem/map.tif", "/vsistdout/", "/vsizip/a.zip/map.tif"])
def test_an_output_is_a_file_on_a_disk(model_path: Path, scenes: Path, name: str) -> None:
    with pytest.raises(OutputError, match="name a file on a disk"):
        make_map(model_path, {"dem": [str(scenes / "second/dem.tif")]}, Path(name), device="cpu")


def test_an_output_that_another_process_writes_is_left_alone(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    with Lock(tmp_path / "confidence.tif"), pytest.raises(BusyError, match=r"confidence\.tif: process \d+ on "):
        make_map(
            model_path,
            {"dem": [str(scenes / "second/dem.tif")]},
            tmp_path / "map.tif",
            confidence=tmp_path / "confidence.tif",
            unfinished="replace",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def members(scenes: Path, tmp_path: Path) -> Path:
    """A VRT of a VRT of a raster."""
    shutil.copy(scenes / "second/dem.tif", tmp_path / "dem.tif")
    with rasterio.open(tmp_path / "dem.tif") as dataset:
        rasterio.shutil.copy(dataset, str(tmp_path / "inner.vrt"), driver="VRT")
    text = (tmp_path / "inner.vrt").read_text(encoding="utf-8")
    (tmp_path / "outer.vrt").write_text(text.replace(">dem.tif<", ">inner.vrt<"), encoding="utf-8")
    return tmp_path


def test_a_vrt_stands_on_its_members_and_theirs(members: Path) -> None:
    spec = SourceSpec(str(members / "outer.vrt"))
    assert {Path(name).name for name in files_of(spec)} == {"outer.vrt", "inner.vrt", "dem.tif"}
    before = identity(spec)
    assert changed(before, identity(spec)) == []
    with rasterio.open(members / "dem.tif", "r+") as dataset:
        dataset.write(np.zeros((1, 5, 5), "float32"), window=((0, 5), (0, 5)))
    assert [Path(name).name for name in changed(before, identity(spec))] == ["dem.tif"]


def test_the_state_of_what_lies_in_an_archive_is_that_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "scene.zip").write_bytes(b"x" * 10)
    assert state_of(f"/vsizip/{tmp_path}/scene.zip/dem.tif")[1] == 10
    assert state_of(f"/vsizip//vsizip/{tmp_path}/scene.zip/inner.zip/dem.tif")[1] == 10


@pytest.mark.parametrize("layer", ["confidence", "availability"])
def test_nothing_of_an_older_map_speaks_for_a_newer_raster(
    model_path: Path, scenes: Path, whole: Path, layer: str
) -> None:
    """The older map's legend, a mask and overviews that another program put beside it."""
    sources, path = {"dem": [str(scenes / "second/dem.tif")]}, whole / "map.tif"
    for end in (".msk", ".ovr"):
        (whole / f"map.tif{end}").write_bytes(b"of another")
    make_map(model_path, sources, whole / "new.tif", device="cpu", overwrite=True, **{layer: path})
    found = sorted(one.name for one in whole.glob("map*"))
    assert found == ["map.qmd", "map.qml", "map.tif", "map.tif.hashes.json"]
    assert verify(path).text == "unchanged"
    with rasterio.open(path) as dataset:
        assert "category" not in str(dataset.tags(1)).lower()


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("<SRS>EPSG:32633</SRS>", "coordinate reference system"),
        ("<GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform>", "georeference"),
        ('<PAMRasterBand band="1"><Scale>2</Scale></PAMRasterBand>', "scales and offsets"),
    ],
)
def test_what_is_said_beside_any_raster_of_a_map_is_verified(
    model_path: Path, scenes: Path, tmp_path: Path, said: str, named: str
) -> None:
    path = tmp_path / "confidence.tif"
    make_map(model_path, {"dem": [str(scenes / "second/dem.tif")]}, tmp_path / "map.tif", confidence=path)
    (tmp_path / "confidence.tif.aux.xml").write_text(f"<PAMDataset>{said}</PAMDataset>", encoding="utf-8")
    with pytest.raises(RasterReadError, match=rf"changed: [^;]*{named}"):
        verify(path)
    (tmp_path / "confidence.tif.aux.xml").unlink()
    (tmp_path / "confidence.tif.msk").write_bytes(b"of another")
    with pytest.raises(RasterReadError, match=r"confidence\.tif\.msk, which another program put beside it"):
        verify(path)


def test_what_is_read_does_not_go_with_an_older_map(model_path: Path, scenes: Path, whole: Path) -> None:
    """A mask that stands where an older map's own would."""
    shutil.copy(scenes / "second/labels.tif", whole / "map.tif.msk")
    source, before = str(scenes / "second/dem.tif"), (whole / "map.tif.msk").read_bytes()
    masks = {"dem": (MaskSpec.parse(f"{whole / 'map.tif.msk'}:values=1"),)}
    with pytest.raises(OutputError, match=r"map\.tif\.msk: the map is made from this file"):
        make_map(model_path, {"dem": [source]}, whole / "map.tif", overwrite=True, masks=masks)
    assert (whole / "map.tif.msk").read_bytes() == before


def test_an_output_that_is_a_link_to_nothing_is_refused(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "map.tif").symlink_to(tmp_path / "nowhere" / "map.tif")
    with pytest.raises(OutputError, match=r"map\.tif: is a link to a file that does not exist"):
        make_map(model_path, {"dem": [str(scenes / "second/dem.tif")]}, tmp_path / "map.tif")


def test_an_output_that_is_a_member_of_a_source_is_refused(model_path: Path, members: Path) -> None:
    before = (members / "dem.tif").read_bytes()
    with pytest.raises(OutputError, match="the map is made from this file"):
        make_map(model_path, {"dem": [str(members / "outer.vrt")]}, members / "dem.tif")
    assert (members / "dem.tif").read_bytes() == before


def test_a_member_that_changes_between_two_runs_is_named(model_path: Path, members: Path) -> None:
    shares: list[float] = []
    sources, path = {"dem": [str(members / "outer.vrt")]}, members / "map.tif"

    def half() -> bool:
        return bool(shares) and shares[-1] >= 0.5

    with pytest.raises(Cancelled):
        make_map(model_path, sources, path, threads=1, progress=shares.append, cancelled=half)
    with rasterio.open(members / "dem.tif", "r+") as dataset:
        dataset.write(np.full((1, 5, 5), 300, "float32"), window=((0, 5), (0, 5)))
    with pytest.raises(OutputError, match=r"changed since \(.*dem\.tif\); start anew with --discard-unfinished"):
        make_map(model_path, sources, path)
    make_map(model_path, sources, path, unfinished="discard")
    assert not part_folder(path).exists()


def test_a_source_that_changes_while_it_is_mapped_gives_no_map(model_path: Path, members: Path) -> None:
    def touch(share: float) -> None:
        if share == 1:
            (members / "dem.tif").touch()

    with pytest.raises(RasterReadError, match=r"dem\.tif: changed while the map was made"):
        make_map(model_path, {"dem": [str(members / "outer.vrt")]}, members / "map.tif", progress=touch)
    assert not (members / "map.tif").exists()


def test_a_source_that_a_gis_shows_while_it_is_mapped_is_unchanged(model_path: Path, members: Path) -> None:
    def show(share: float) -> None:
        if share == 1:
            with (
                rasterio.open(members / "dem.tif") as dataset,
                pytest.warns(rasterio.errors.RasterioDeprecationWarning),
            ):
                dataset.statistics(1)  # which writes them beside the raster

    make_map(model_path, {"dem": [str(members / "outer.vrt")]}, members / "map.tif", progress=show)
    assert "STATISTICS_MEAN" in (members / "dem.tif.aux.xml").read_text(encoding="utf-8")


def test_statistics_that_gdal_writes_into_a_vrt_or_repeats_a_header_with_change_nothing(members: Path) -> None:
    """As a real GDAL writes them."""
    with rasterio.open(members / "dem.tif") as dataset:
        rasterio.shutil.copy(dataset, str(members / "dem.img"), driver="ENVI")
    (members / "dem.img.aux.xml").unlink(missing_ok=True)
    for name, added in (("outer.vrt", "outer.vrt"), ("dem.img", "dem.img.aux.xml")):
        spec = SourceSpec(str(members / name))
        before = identity(spec)
        with rasterio.open(members / name) as dataset, pytest.warns(rasterio.errors.RasterioDeprecationWarning):
            dataset.statistics(1)
        assert "STATISTICS_MEAN" in (members / added).read_text(encoding="utf-8")
        assert changed(before, identity(spec)) == []


def test_the_order_of_a_vrts_members_counts(members: Path) -> None:
    text = (members / "outer.vrt").read_text(encoding="utf-8")
    start, end = text.index("<SimpleSource>"), text.index("</SimpleSource>") + len("</SimpleSource>")
    one, spec = text[start:end], SourceSpec(str(members / "outer.vrt"))
    other = one.replace("inner.vrt", "dem.tif")
    (members / "outer.vrt").write_text(text[:start] + one + other + text[end:], encoding="utf-8")
    before = identity(spec)
    (members / "outer.vrt").write_text(text[:start] + other + one + text[end:], encoding="utf-8")
    assert str(members / "outer.vrt") in changed(before, identity(spec))


def test_a_sidecar_of_absurd_depth_is_no_traceback(whole: Path) -> None:
    deep = "<PAMDataset>" + "<A>" * 5000 + "</A>" * 5000 + "</PAMDataset>"
    (whole / "map.tif.aux.xml").write_text(deep, encoding="utf-8")
    with pytest.raises(RasterReadError, match=r"map\.tif\.aux\.xml was changed or damaged"):
        verify(whole / "map.tif")


def test_what_is_said_of_a_source_beside_it_counts(members: Path) -> None:
    spec = SourceSpec(str(members / "dem.tif"))
    before = identity(spec)
    beside = members / "dem.tif.aux.xml"
    band = '<PAMDataset><PAMRasterBand band="1">{}</PAMRasterBand></PAMDataset>'
    statistics = '<Metadata><MDI key="STATISTICS_MEAN">{}</MDI></Metadata><Histograms><HistItem/></Histograms>'
    for added in (statistics.format(3), statistics.format(4)):
        beside.write_text(band.format(added), encoding="utf-8")
        assert changed(before, identity(spec)) == []
    for said in ("<NoDataValue>5</NoDataValue>", "<Scale>2</Scale>", "<Description>B8</Description>"):
        beside.write_text(band.format(said), encoding="utf-8")
        assert changed(before, identity(spec)) == [f"what GDAL says of {spec.file}"]
        noted = identity(spec)
        beside.write_text(band.format(said + statistics.format(3)), encoding="utf-8")
        assert changed(noted, identity(spec)) == []


def test_files_elsewhere_and_on_the_network_are_said(model_path: Path, members: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    text = (members / "inner.vrt").read_text(encoding="utf-8")
    absolute = text.replace('relativeToVRT="1">dem.tif', f'relativeToVRT="0">{members / "dem.tif"}')
    (other / "away.vrt").write_text(absolute, encoding="utf-8")
    summary = make_map(model_path, {"dem": [str(other / "away.vrt")]}, tmp_path / "map.tif")
    assert any("reads files outside of its folder" in warning for warning in summary.warnings)
    served = absolute.replace(f">{members / 'dem.tif'}", ">/vsicurl/http://127.0.0.1:9/dem.tif")
    (other / "served.vrt").write_text(served, encoding="utf-8")
    with pytest.raises(RasterReadError, match=r"reads /vsicurl/http://127.* from the network, which --no-network"):
        make_map(model_path, {"dem": [str(other / "served.vrt")]}, tmp_path / "served.tif", network=False)


def test_without_a_network_no_server_is_asked(members: Path, tmp_path: Path) -> None:
    model = Path(__file__).parent.parent / "data" / "model-0.1.0.onnx"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        far = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/dem.tif"
        text = (members / "inner.vrt").read_text(encoding="utf-8")
        served = text.replace('relativeToVRT="1">dem.tif', f'relativeToVRT="0">{far}')
        (members / "served.vrt").write_text(served, encoding="utf-8")
        for source in (far, str(members / "served.vrt")):
            with pytest.raises(RasterReadError, match="which --no-network refuses"):
                make_map(model, {"dem": [source]}, tmp_path / "map.tif", network=False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_provenance_names_every_file_with_its_hash(whole: Path) -> None:
    facts = json.loads((whole / "map.tif.provenance.json").read_text(encoding="utf-8"))
    assert set(facts["files"]) == {"map.tif", "map.tif.aux.xml", "map.qml", "map.qmd", "map.tif.hashes.json"}
    assert facts["command"].startswith("engine predict ")
