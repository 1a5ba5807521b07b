"""Maps that are killed go on to the same bytes; what lies beside a map is right; damage is found."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given
from hypothesis import strategies as st
from making import make_map
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetWriter

from engine.errors import Cancelled, OutputError, RasterReadError
from engine.files import file_digest
from engine.grid import Window
from engine.mapping.plan import part_folder
from engine.mapping.predict import Summary
from engine.mapping.spool import Spool, SpoolLayer
from engine.mapping.verify import Verified, verify
from engine.raster.sources import SourceSpec

PLAN = {"model": "m"}


@pytest.fixture(scope="module")
def tall(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of many rows of tiles: the second one, twelve times below itself and twice beside."""
    folder = tmp_path_factory.mktemp("tall")
    for name in ("dem", "sar"):
        with rasterio.open(scenes / "second" / f"{name}.tif") as source:
            values = np.tile(source.read(), (1, 12, 2))
            profile = source.profile | {"height": values.shape[1], "width": values.shape[2]}
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as target:
            target.write(values)
    return folder


@pytest.fixture(scope="module")
def whole(model_path: Path, tall: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a map that nothing disturbed, with confidence and availability."""
    folder = tmp_path_factory.mktemp("whole")
    run(model_path, tall, folder)
    return folder


def sources(tall: Path) -> dict[str, list[SourceSpec]]:
    return {name: [SourceSpec(str(tall / f"{name}.tif"))] for name in ("sar", "dem")}


def run(model: Path, tall: Path, folder: Path, **options: object) -> Summary:
    return make_map(
        model,
        sources(tall),
        folder / "map.tif",
        confidence=folder / "confidence.tif",
        availability=folder / "availability.tif",
        device="cpu",
        **{"threads": 2, **options},  # type: ignore[arg-type]
    )


def rasters(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in folder.glob("*.tif")}


def stop_at(share: float) -> dict[str, object]:
    """Options that cancel a map once so much is done."""
    reached = [0.0]
    return {"progress": lambda now: reached.__setitem__(0, now), "cancelled": lambda: reached[0] >= share}


@pytest.mark.parametrize("threads", [1, 3])
def test_a_cancelled_map_goes_on_to_the_same_bytes(
    model_path: Path, tall: Path, whole: Path, tmp_path: Path, threads: int
) -> None:
    for share in (0.2, 0.5, 0.8):
        with pytest.raises(Cancelled):
            run(model_path, tall, tmp_path, threads=threads, **stop_at(share))
        assert [path.name for path in tmp_path.iterdir()] == ["map.tif.part"]
    summary = run(model_path, tall, tmp_path, threads=threads)
    assert 0.4 < summary.resumed < 1
    assert rasters(tmp_path) == rasters(whole)
    assert not part_folder(tmp_path / "map.tif").exists()
    assert sum(summary.shares.values()) == pytest.approx(1)


def test_a_map_killed_at_random_moments_goes_on_to_the_same_bytes(
    model_path: Path, tall: Path, whole: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "engine.cli", "predict", str(model_path), "--threads", "2", "--overwrite"]
    command += [f"{name}={tall / f'{name}.tif'}" for name in ("sar", "dem")]
    command += ["-o", str(tmp_path / "map.tif"), "--confidence", str(tmp_path / "confidence.tif")]
    command += ["--availability", str(tmp_path / "availability.tif")]
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(40):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.4 + rng.exponential(0.2))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        killed += 1
        finished = (tmp_path / "map.tif").exists()
        assert not finished or rasters(tmp_path)["map.tif"] == rasters(whole)["map.tif"]
    subprocess.run(command, check=True, capture_output=True)
    assert killed > 0
    assert {name: digest for name, digest in rasters(tmp_path).items() if not name.startswith(".")} == rasters(whole)


def test_values_that_were_damaged_on_the_disk_are_mapped_again(
    model_path: Path, tall: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        run(model_path, tall, tmp_path, **stop_at(0.6))
    raw = part_folder(tmp_path / "map.tif") / "classes.raw"
    content = bytearray(raw.read_bytes())
    content[352 * 300] ^= 0xFF
    raw.write_bytes(content)
    summary = run(model_path, tall, tmp_path)
    assert 0 < summary.resumed <= 300 / 2400
    assert rasters(tmp_path) == rasters(whole)


def test_an_unfinished_map_of_another_job_is_refused_or_replaced(
    model_path: Path, tall: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        run(model_path, tall, tmp_path, seam="crop", **stop_at(0.3))
    with pytest.raises(OutputError, match=r"unfinished map of another job \(other tile\); .* --discard-unfinished"):
        run(model_path, tall, tmp_path)
    summary = run(model_path, tall, tmp_path, unfinished="replace")
    assert summary.resumed == 0
    assert rasters(tmp_path) == rasters(whole)


def test_an_unfinished_map_can_be_discarded(model_path: Path, tall: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(model_path, tall, tmp_path, **stop_at(0.5))
    assert run(model_path, tall, tmp_path, unfinished="discard").resumed == 0


def test_a_cancel_that_keeps_nothing_leaves_nothing(model_path: Path, tall: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(model_path, tall, tmp_path, keep=False, **stop_at(0.5))
    assert list(tmp_path.iterdir()) == []


def test_the_rasters_are_cloud_optimised_with_overviews_of_classes(whole: Path, tall: Path) -> None:
    with rasterio.open(whole / "map.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1)
        assert dataset.nodata == 255
        values = set(np.unique(dataset.read(1)))
        smaller = dataset.read(1, out_shape=(dataset.height // 2, dataset.width // 2))
        assert set(np.unique(smaller)) <= values, "overviews hold classes, not averages of their numbers"
        assert dataset.tags()["MODEL"] == "synthetic"
        assert json.loads(dataset.tags()["SCENARIO_SHARES"]).keys() <= {"sar+dem", "dem", "sar", "no sensor"}
        with rasterio.open(tall / "dem.tif") as source:
            assert (dataset.crs, dataset.transform, dataset.shape) == (source.crs, source.transform, source.shape)
    with rasterio.open(whole / "availability.tif") as dataset:
        assert set(np.unique(dataset.read(1))) <= {0, 2, 4, 6}


def test_the_attribute_table_counts_what_is_there(whole: Path) -> None:
    table = (whole / "map.tif.aux.xml").read_text(encoding="utf-8")
    rows = [re.findall("<F>(.*?)</F>", row) for row in re.findall("<Row .*?</Row>", table)]
    with rasterio.open(whole / "map.tif") as dataset, rasterio.open(whole / "confidence.tif") as confidence:
        values, sure = dataset.read(1), confidence.read(1)
        rows_down, cols = np.mgrid[: dataset.height : 50, : dataset.width]
        zone, places = pyproj.Proj(dataset.crs.to_string()), dataset.transform @ (cols.ravel(), rows_down.ravel())
    scales = zone.get_factors(*zone(*places, inverse=True)).areal_scale.reshape(cols.shape)
    areas = np.broadcast_to((100 / scales).mean(axis=0), values.shape)  # a zone's scale changes across
    assert [row[1] for row in rows] == ["water", "forest", "cropland", "grassland", "built-up", "bare"]
    for value, _, red, *_, pixels, hectares, mean in rows:
        here = values == int(value)
        assert int(pixels) == here.sum()
        assert float(hectares) == pytest.approx(areas[here].sum() / 10_000, rel=2e-5)
        if here.any():
            assert float(mean) == pytest.approx(sure[here].mean(), abs=0.01)
        assert 0 <= int(red) <= 255


def test_the_provenance_says_how_the_map_was_made(whole: Path, model_path: Path) -> None:
    facts = json.loads((whole / "map.tif.provenance.json").read_text())
    assert facts["model"] == file_digest(model_path)
    assert facts["device"] == "cpu"
    assert set(facts["sources"]) == {"sar", "dem"}
    assert facts["made"].endswith("+00:00")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy" / "map.tif"


def test_a_map_that_nobody_touched_is_unchanged(copy: Path) -> None:
    for path in copy.parent.glob("*.tif"):
        assert verify(path) == Verified("unchanged")


def test_a_map_that_was_recompressed_keeps_its_values(copy: Path) -> None:
    rewritten = copy.with_name("rewritten.tif")
    rasterio.shutil.copy(str(copy), str(rewritten), driver="COG", compress="LZW")
    rewritten.replace(copy)
    found = verify(copy)
    assert "values are unchanged" in found.text
    assert found.additions == ()


def averaged(dataset: DatasetWriter) -> None:
    dataset.build_overviews([2, 4], Resampling.average)


def hidden(dataset: DatasetWriter) -> None:
    dataset.write_mask(np.zeros(dataset.shape, dtype=np.uint8))


def scaled(dataset: DatasetWriter) -> None:
    dataset.scales, dataset.offsets = (2,), (5,)


def in_metres(dataset: DatasetWriter) -> None:
    dataset.set_band_unit(1, "m")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (averaged, "overviews"),
        (hidden, "mask"),
        (scaled, "scales and offsets"),
        (in_metres, "units"),
    ],
)
def test_what_makes_others_see_another_map_is_named(
    copy: Path, change: Callable[[DatasetWriter], None], named: str
) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(copy, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset,
    ):
        change(dataset)
    with pytest.raises(RasterReadError, match=rf"map\.tif: changed: .*{named}"):
        verify(copy)


def test_a_renamed_map_is_verified_with_all_that_stands_beside_it(copy: Path) -> None:
    for one in list(copy.parent.glob("map.*")):
        one.rename(one.with_name(f"renamed{one.name.removeprefix('map')}"))
    other = copy.with_name("renamed.tif")
    assert verify(other) == Verified("unchanged")
    legend = other.with_name("renamed.tif.aux.xml")
    legend.write_text(legend.read_text(encoding="utf-8").replace("water", "wotar"), encoding="utf-8")
    other.with_suffix(".qml").unlink()
    with pytest.raises(RasterReadError, match=r"renamed\.tif\.aux\.xml was changed.*renamed\.qml cannot be read"):
        verify(other)


@pytest.mark.parametrize("lost", ["files", "digest", None])
def test_a_provenance_that_lost_its_hashes_is_damage(copy: Path, lost: str | None) -> None:
    path = copy.with_name("map.tif.provenance.json")
    facts = json.loads(path.read_text())
    kept = {} if lost is None else {key: value for key, value in facts.items() if key != lost}
    path.write_text(json.dumps(kept))
    with pytest.raises(RasterReadError, match=r"map\.tif\.provenance\.json was changed or damaged"):
        verify(copy)


def test_statistics_as_another_gdal_writes_them_are_no_damage(copy: Path) -> None:
    """GDAL 3.6 names the band besides, writes the table's numbers out, and what is no number as 0."""
    path = copy.with_name("map.tif.aux.xml")
    text = path.read_text(encoding="utf-8").replace("<F></F>", "<F>0</F>").replace("<F />", "<F>0</F>")
    number = re.search(r"<F>(\d+\.\d+)</F>", text)
    assert number is not None
    text = text.replace(number[0], f"<F>{number[1]}00000000001</F>")
    more = (
        "<Description>class</Description><Histograms><HistItem><HistMin>0</HistMin></HistItem></Histograms>"
        '<Metadata><MDI key="STATISTICS_MEAN">2.5</MDI></Metadata>'
    )
    path.write_text(text.replace("</PAMRasterBand>", f"{more}</PAMRasterBand>"), encoding="utf-8")
    found = verify(copy)
    assert found.text == "unchanged"
    assert len(found.additions) == 1


@pytest.mark.parametrize("more", ["<NoDataValue>3</NoDataValue>", "<Scale>2</Scale>", "<UnitType>m</UnitType>"])
def test_what_stands_in_for_the_map_beside_it_is_damage(copy: Path, more: str) -> None:
    """GDAL takes it from there."""
    path = copy.with_name("map.tif.aux.xml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</PAMRasterBand>", f"{more}</PAMRasterBand>"), encoding="utf-8")
    with pytest.raises(RasterReadError, match=r"map\.tif\.aux\.xml was changed or damaged"):
        verify(copy)


def test_what_is_no_map_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tif", tmp_path, Path()):
        with pytest.raises(RasterReadError, match="there is no such file"):
            verify(path)


def test_a_changed_pixel_is_found_with_its_rows(copy: Path) -> None:
    with rasterio.open(copy) as dataset:
        profile, values = dataset.profile, dataset.read()
    values[0, 700, 5] = 99
    with rasterio.open(copy, "w", **profile) as dataset:
        dataset.write(values)
    with pytest.raises(
        RasterReadError, match=r"map\.tif: values are not those that were mapped, in rows (\d+)-(\d+), columns 0-351;"
    ) as caught:
        verify(copy)
    first, end = (int(number) for number in str(caught.value).split("rows ")[1].split(",")[0].split("-"))
    assert first <= 700 <= end < first + 200, "no more rows are blamed than a row of tiles has"


def test_every_flipped_bit_is_found(copy: Path) -> None:
    content = copy.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        copy.write_bytes(damaged)
        with suppress(RasterReadError):
            assert verify(copy) != Verified("unchanged")
    copy.write_bytes(content[: len(content) // 2])
    with pytest.raises(RasterReadError):
        verify(copy)


def test_a_map_without_hashes_is_not_called_good(copy: Path) -> None:
    copy.with_name("map.tif.hashes.json").unlink()
    with pytest.raises(RasterReadError, match=r"nothing to compare with: map\.tif\.hashes\.json cannot be read"):
        verify(copy)


PARTS = [Window(row, col, 8, width) for col, width in ((0, 20), (20, 10)) for row in range(0, 40, 8)]
"""Two panels of five strips each."""


def spool_of(folder: Path) -> Spool:
    layers = {"classes": SpoolLayer("uint8"), "shares": SpoolLayer("uint16", 2)}
    return Spool(folder, PLAN, layers, 40, 30, PARTS, panel=5, border=(2, 8, 4))


def fill(spool: Spool, values: NDArray[np.uint8], count: int) -> None:
    """Commits the next strips as a mapping does: what the first panel owes to the second is kept, and asked for."""
    for number in range(spool.done, spool.done + count):
        owed = np.full((2, 8, 4), number, dtype=np.float32)
        if number < 5:
            spool.put(number, owed)
        else:
            np.testing.assert_array_equal(spool.get(number - 5), owed - 5)
        part = values[PARTS[number].within(Window(0, 0, 40, 30))]
        strips = {"classes": part[None], "shares": np.stack([part, part * 256.0])}
        spool.commit(strips, {"pixels": {"1": float(part.size)}})


@given(cut=st.integers(0, 4000), strips=st.integers(1, 9))
def test_a_journal_torn_anywhere_never_promises_too_much(
    tmp_path_factory: pytest.TempPathFactory, cut: int, strips: int
) -> None:
    folder = tmp_path_factory.mktemp("spool") / "map.part"
    values = np.random.default_rng(0).integers(0, 255, (40, 30), dtype=np.uint8)
    with spool_of(folder) as spool:
        fill(spool, values, strips)
    journal = folder / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[:cut])
    with spool_of(folder) as spool:
        assert spool.done == content[:cut].count(b"\n")
        assert spool.share == pytest.approx(sum(part.height * part.width for part in PARTS[: spool.done]) / 1200)
        fill(spool, values, 10 - spool.done)
        assert spool.tally("pixels") == {1: 1200}
    expected = np.concatenate([values[:, :20].ravel(), values[:, 20:].ravel()])
    np.testing.assert_array_equal(np.fromfile(folder / "classes.raw", dtype=np.uint8), expected)
    shares = np.fromfile(folder / "shares.raw", dtype="<u2")[800 * 2 :].reshape(40, 2, 10)
    np.testing.assert_array_equal(shares[:, 0], values[:, 20:])
    np.testing.assert_array_equal(shares[:, 1], values[:, 20:] * np.uint16(256))


@pytest.mark.parametrize("panel", [1, 2, 3])
def test_a_kill_between_what_is_owed_and_the_commit_loses_one_strip_at_most(tmp_path: Path, panel: int) -> None:
    """The strip behind the one that is being committed may have put what it owes already."""
    parts = [Window(row, col, 4, 5) for col in range(0, 40, 5) for row in range(0, 4 * panel, 4)]

    def opened() -> Spool:
        return Spool(tmp_path / "p", {}, {"classes": SpoolLayer("uint8")}, 4 * panel, 40, parts, panel, (1, 4, 2))

    with opened() as spool:
        for number in range(len(parts) - 1):
            spool.put(number, np.full((1, 4, 2), number))
            if number:
                spool.commit({"classes": np.zeros((1, 4, 5))}, {})
                with opened() as again:
                    assert again.done == number


@pytest.mark.parametrize("number", [2, 4])
def test_what_panels_owe_to_each_other_is_checked_too(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "map.part"
    values = np.zeros((40, 30), dtype=np.uint8)
    with spool_of(folder) as spool:
        fill(spool, values, 7)
    content = bytearray((folder / "borders.raw").read_bytes())
    content[number * 2 * 8 * 4 * 4 + 5] ^= 1
    (folder / "borders.raw").write_bytes(content)
    with spool_of(folder) as spool:
        assert spool.done == 0


def test_a_folder_without_a_plan_promised_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "map.part"
    folder.mkdir()
    (folder / "journal.jsonl").write_text("nonsense")
    with spool_of(folder) as spool:
        assert spool.done == 0


def test_a_map_that_the_disk_has_no_room_for_is_not_begun(tmp_path: Path) -> None:
    side = 1_000_000_000
    with pytest.raises(OutputError, match=r"takes 1000000000\.0 GB .* are free on its disk; .*--bounds"):
        Spool(
            tmp_path / "p", {}, {"classes": SpoolLayer("uint8")}, side, side,
            [Window(0, 0, side, side)], panel=1, border=(1, 1, 1),
        )  # fmt: skip
    assert not (tmp_path / "p").exists()


def test_a_full_disk_is_said_and_what_was_finished_stays(tmp_path: Path) -> None:
    code = """
import resource, sys
import numpy as np
from pathlib import Path
from engine.grid import Window
from engine.mapping.spool import Spool, SpoolLayer
parts = [Window(0, 0, 10, 100), Window(10, 0, 60, 100), Window(70, 0, 30, 100)]
spool = Spool(Path(sys.argv[1]), {}, {"classes": SpoolLayer("uint8")}, 100, 100, parts, 3, (1, 1, 1))
spool.commit({"classes": np.ones((1, 10, 100), "uint8")}, {})
if len(sys.argv) > 2:
    print(spool.done)
    sys.exit()
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool.commit({"classes": np.ones((1, 60, 100), "uint8")}, {})
"""
    command = [sys.executable, "-c", code, str(tmp_path / "p")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "OutputError" in done.stderr
    assert "cannot be written: File too large; make room on its disk" in done.stderr
    assert subprocess.run([*command, "again"], capture_output=True, text=True, check=True).stdout == "2\n"
