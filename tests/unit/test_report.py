"""A map's report: its numbers are those of the rasters, whatever names it holds, and it never costs the map."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pyproj
import pytest
import rasterio
from affine import Affine
from commands import engine
from making import make_map
from matplotlib.image import imread
from numpy.typing import NDArray
from rasterio.crs import CRS

from engine.errors import Cancelled, OutputError
from engine.grid import Grid, PixelAreas, Window
from engine.mapping.mosaic import MapBlock
from engine.mapping.predict import Summary
from engine.mapping.request import command_line, map_request
from engine.mapping.tally import PICTURE, Tally, by_mask, picture
from engine.model.document import KEY
from engine.model.file import Model

MODEL = Path(__file__).parent.parent / "data" / "model-0.1.0.onnx"
NODATA = {"optical": 0, "sar": -9999, "dem": -9999}
UTM = CRS.from_epsg(32631)
Make = Callable[..., Summary]
Blocks = tuple[Grid, list[MapBlock], NDArray[np.int64], NDArray[np.int32]]


class Page(HTMLParser):
    """The tables of a page under their headings, as texts of their cells, and what its images and links name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tables: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words: dict[str, str] = {}
        self._heading = ""
        self._in = ""
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self.tables.setdefault(self._heading, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._heading][-1].append("")
        if tag in ("h1", "h2", "td", "th", "style"):
            self._in = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "h2":
            self._heading += data
        elif self._in in ("td", "th"):
            self.tables[self._heading][-1][-1] += data.replace("\xa0", " ")
        elif self._in != "style":
            self.words[self._heading] = self.words.get(self._heading, "") + data

    def column(self, heading: str, name: int, value: int) -> dict[str, str]:
        """One column of a table by another."""
        return {row[name]: row[value] for row in self.tables[heading][1:]}


@pytest.fixture
def make(tmp_path: Path, write_raster: Callable[..., Path]) -> Make:
    """Maps the kept scene several times below itself, of 64 x 64 pixels of 10 m, some of them without a sensor."""
    kept = np.load(MODEL.with_suffix(".npz"))
    values = {name: np.tile(kept[name], (1, 4, 1)) for name in NODATA}
    values["optical"][:, :20] = 0
    values["sar"][:, 10:90, :30] = -9999
    values["dem"][:, :, :5] = values["dem"][:, 15:17] = -9999

    def made(*, model: Path = MODEL, crs: CRS | None = UTM, **options: object) -> Summary:
        written = {"crs": crs, "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
        for name, nodata in NODATA.items():
            if not (tmp_path / f"{name}.tif").exists():
                write_raster(f"{name}.tif", values[name], nodata=nodata, **written)
        sources = {name: [str(tmp_path / f"{name}.tif")] for name in NODATA}
        rasters: dict[str, object] = {name: tmp_path / f"{name}.tif" for name in ("confidence", "availability")}
        defaults = {"device": "cpu", "threads": 1, "report": tmp_path / "report.html"}
        options = {"output": tmp_path / "map.tif"} | rasters | defaults | options
        return make_map(model, sources, **options)  # type: ignore[arg-type]

    return made


def rasters(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Classes, confidence and availability of a map."""
    found = []
    for name in ("map", "confidence", "availability"):
        with rasterio.open(folder / f"{name}.tif") as dataset:
            found.append(dataset.read(1).astype(np.int64))
    return found[0], found[1], found[2]


def label(bits: int) -> str:
    return " + ".join(name for number, name in enumerate(NODATA) if bits >> number & 1) or "no sensor"


def number(text: str) -> float:
    return float(text.replace(",", "").removesuffix("%"))


def renamed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The kept model with another document."""
    proto = onnx.load(str(MODEL))
    (entry,) = (one for one in proto.metadata_props if one.key == KEY)
    document = json.loads(entry.value)
    change(document)
    entry.value = json.dumps(document)
    onnx.save(proto, str(path))
    return path


def test_areas_shares_and_confidence_are_those_of_the_rasters(make: Make, tmp_path: Path) -> None:
    summary = make()
    classes, confidence, availability = rasters(tmp_path)
    page = Page(tmp_path / "report.html")
    corners = np.array([(0, 0), (640, 0), (640, -2560), (0, -2560)]) + np.array([500_000, 5_000_000])
    to_degrees = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    area = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*to_degrees.transform(*corners.T))[0])
    hectares = area / classes.size / 10_000
    mapped = classes != 255
    assert 0 < mapped.mean() < 1
    rows = {row[2]: row for row in page.tables["Areas by class"][1:]}
    for value, name in enumerate(("water", "forest", "cropland", "grassland", "built-up", "bare"), start=1):
        count = int((classes == value).sum())
        assert rows[name][1] == str(value)
        assert number(rows[name][3]) == pytest.approx(count * hectares, abs=0.01)
        assert rows[name][4] == f"{count:,}"
        assert number(rows[name][5]) == pytest.approx(100 * count / mapped.sum(), abs=0.01)
        mean = confidence[classes == value].mean() if count else None
        assert rows[name][7] == ("" if mean is None else f"{mean:.1f} %")
        assert summary.areas is not None
        assert summary.areas[name] == pytest.approx(count * hectares, rel=1e-4)
    assert rows["not mapped (white)"][4] == f"{(~mapped).sum():,}"
    assert summary.mapped == pytest.approx(mapped.mean())
    shares = page.column("Sensors that it was made from", 1, 2)
    assert {name: number(text) for name, text in shares.items()} == {
        label(bits): pytest.approx(100 * (availability == bits).mean(), abs=0.01) for bits in np.unique(availability)
    }
    assert f"The mean is {confidence[mapped].mean():.1f} %" in page.words["Confidence"]
    below = (confidence[mapped] < 50).mean()
    assert f"{100 * below:.1f} % of the mapped pixels have less than 50 %" in page.words["Confidence"]


def test_areas_by_class_and_sensors_are_those_of_the_rasters(make: Make, tmp_path: Path) -> None:
    make(crs=None)
    classes, _, availability = rasters(tmp_path)
    head, *rows = Page(tmp_path / "report.html").tables["Areas by class and sensors"]
    assert head[0] == "pixels"
    bits = {label(one): one for one in np.unique(availability).tolist()}
    assert set(head[1:]) == set(bits) - {"no sensor"}
    names = {"water": 1, "forest": 2, "cropland": 3, "grassland": 4, "built-up": 5, "bare": 6}
    assert [row[0] for row in rows] == [*names, "all that is mapped"]
    for name, *cells in rows:
        chosen = classes == names[name] if name in names else classes != 255
        assert cells == [f"{(chosen & (availability == bits[one])).sum():,}" for one in head[1:]]


def test_what_is_expected_of_a_scenario_is_said_and_a_guess_is_called_weak(make: Make, tmp_path: Path) -> None:
    def unmeasured(document: dict[str, Any]) -> None:
        """All but radar and elevation; elevation alone seemed better on validation."""
        found = (("optical+sar+dem", "test", 0.1364), ("dem", "test", 0.1363), ("dem", "validation", 0.5))
        document["accuracy"] = [
            {"scenario": scenario, "split": split, "miou": miou, "overall_accuracy": 0.5}
            for scenario, split, miou in found
        ]

    make(model=renamed(tmp_path / "model.onnx", unmeasured))
    rows = {row[1]: row[4:] for row in Page(tmp_path / "report.html").tables["Sensors that it was made from"][1:]}
    assert rows["optical + sar + dem"] == ["0.14", ""]  # above 1.5 times 1 / 11
    assert rows["dem"] == ["0.14", "weak"]
    assert rows["sar + dem"] == ["not measured", ""]
    assert rows["no sensor"] == ["", ""]


def test_without_georeference_there_are_pixels_and_no_hectares(make: Make, tmp_path: Path) -> None:
    assert make(crs=None).areas is None
    page = Page(tmp_path / "report.html")
    assert "hectares" not in page.text
    assert "coordinate reference system" not in page.text
    assert page.tables["Areas by class"][0][3:] == ["pixels", "share", "", "confidence"]


def test_names_of_any_script_and_sign_are_shown_as_they_are(make: Make, tmp_path: Path) -> None:
    odd = ['<script>alert("水")</script>', "Äcker & Wiesen", "غابة", "ป่า", "{{ 7 * 7 }}", "Äcker & Wiesen"]

    def rename(document: dict[str, Any]) -> None:
        for one, name in zip(document["classes"], odd, strict=True):
            one["name"] = name
        document["name"] = "<b>モデル</b>"

    place = tmp_path / "Zürich <1> & 水.tif"
    summary = make(model=renamed(tmp_path / "model.onnx", rename), output=place)
    page = Page(tmp_path / "report.html")
    assert [row[2] for row in page.tables["Areas by class"][1:7]] == odd
    assert [row[0] for row in page.tables["Areas by class and sensors"][1:7]] == odd
    assert dict(page.tables["How it was made"])["map"] == str(place)
    assert "<b>モデル</b>" in page.words[""]
    assert not {"script", "b"} & set(page.tags)
    told = ElementTree.parse(place.with_suffix(".qmd")).getroot()  # noqa: S314 (our own)
    texts = {one.tag: html.unescape(one.text or "") for one in told}  # QGIS shows them as HTML
    assert texts["title"] == "Land cover (<b>モデル</b>)"
    assert f"-o '{place}'" in texts["history"]
    assert list(summary.areas or ()) == [*odd[:1], "Äcker & Wiesen (2)", *odd[2:5], "Äcker & Wiesen (6)"]


def test_it_needs_nothing_from_elsewhere_and_its_pictures_are_small(make: Make, tmp_path: Path) -> None:
    make()
    page = Page(tmp_path / "report.html")
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?:", page.text)
    images = [imread(BytesIO(base64.b64decode(one.partition(",")[2]))) for one in page.addresses]
    pictures = [one for one in images if one.shape[:2] != (1, 1)]  # others are bars and colours
    assert len(pictures) == 3
    assert max(max(one.shape) for one in pictures) <= 1200
    classes, _, availability = rasters(tmp_path)
    colors = {1: "2b6cb0", 2: "1e6b34", 3: "e0b84c", 4: "a6d96a", 5: "c0392b", 6: "b8a79a", 255: "ffffff"}
    times = len(pictures[0]) // len(classes)
    drawn = (255 * pictures[0][times // 2 :: times, times // 2 :: times, :3]).round().astype(int)
    assert [f"{r:02x}{g:02x}{b:02x}" for r, g, b in drawn.reshape(-1, 3)] == [colors[one] for one in classes.flat]
    times = len(pictures[1]) // len(availability)
    seen = pictures[1][::times, ::times, :3].reshape(-1, 3)
    for bits in np.unique(availability):
        assert len(np.unique(seen[availability.ravel() == bits], axis=0)) == 1, "one colour a scenario"


def test_it_tells_how_the_map_was_made(make: Make, tmp_path: Path) -> None:
    summary = make()
    page = Page(tmp_path / "report.html")
    facts = dict(page.tables["How it was made"])
    assert facts["coordinate reference system"] == "WGS 84 / UTM zone 31N (EPSG:32631)"
    assert facts["size"] == "64 x 256 pixels"
    assert facts["device"] == "cpu"
    seconds, speed = re.findall(r"[\d.,]+\d", facts["time"])
    assert float(seconds) <= summary.seconds + 0.05
    assert number(speed) == pytest.approx(64 * 256 / float(seconds), rel=0.2)
    sha = subprocess.run(["sha256sum", MODEL], capture_output=True, text=True, check=True).stdout.split()[0]
    assert facts["SHA-256 of the model"] == sha
    served = {row[0]: row[1] for row in page.tables["Which source served which sensor"][1:]}
    assert served["sar"].startswith(str(tmp_path / "sar.tif"))
    provenance = json.loads((tmp_path / "map.tif.provenance.json").read_text(encoding="utf-8"))
    assert provenance["command"] in page.words["How it was made"]
    assert f"--report {tmp_path / 'report.html'}" in provenance["command"]
    for text in summary.warnings:
        assert text in page.words["Warnings"]


def test_a_map_that_is_gone_on_with_has_the_same_numbers(make: Make, tmp_path: Path) -> None:
    """What a run without a report had finished counts in the report of the next."""
    make()
    whole = Page(tmp_path / "report.html")
    (tmp_path / "report.html").unlink()
    shares: list[float] = []
    with pytest.raises(Cancelled):
        make(report=None, progress=shares.append, cancelled=lambda: bool(shares) and shares[-1] > 0.5)
    assert not (tmp_path / "report.html").exists()
    assert make().resumed > 0.3
    again = Page(tmp_path / "report.html")
    for heading in ("Areas by class", "Sensors that it was made from", "Areas by class and sensors"):
        assert again.tables[heading] == whole.tables[heading]
    assert again.addresses == whole.addresses
    assert "of the map, which a run before had finished" in dict(again.tables["How it was made"])["gone on from"]


def test_an_older_report_stays_until_there_is_a_new_map(make: Make, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("of an older map")
    with pytest.raises(OutputError, match=r"report\.html: is there already; .* --overwrite"):
        make(overwrite=False)
    with pytest.raises(Cancelled):
        make(cancelled=lambda: True)
    assert page.read_text() == "of an older map"
    make()
    assert "Areas by class" in page.read_text(encoding="utf-8")


def test_a_report_is_no_file_that_is_read_or_made_otherwise(make: Make, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="two outputs would be this file"):
        make(report=tmp_path / "map.qml")
    with pytest.raises(OutputError, match=r"dem\.tif: the map is made from this file"):
        make(report=tmp_path / "dem.tif")
    with pytest.raises(OutputError, match="there is no folder"):
        make(report=tmp_path / "nowhere" / "report.html")


def test_a_report_that_fails_costs_no_map(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()

    def vanish(share: float) -> None:
        if share == 1:
            folder.joinpath(".report.html.lock").unlink(missing_ok=True)
            folder.rmdir()

    summary = make(report=folder / "report.html", progress=vanish)
    assert (tmp_path / "map.tif.provenance.json").exists()
    assert not (tmp_path / "map.tif.part").exists()
    assert [text for text in summary.warnings if "the map is made, but not its report" in text]


def test_drawing_is_loaded_for_a_report_alone(make: Make, tmp_path: Path) -> None:
    make(report=None)
    sources = {name: f"{tmp_path / name}.tif" for name in NODATA}
    code = (
        "import sys; from engine.cli.main import main\n"
        f"sys.argv = ['engine', 'predict', {str(MODEL)!r}, *{[f'{k}={v}' for k, v in sources.items()]!r}, "
        f"'-o', {str(tmp_path / 'other.tif')!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('matplotlib', 'jinja2', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (tmp_path / "other.tif").exists(), done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_command_line_writes_it(make: Make, tmp_path: Path) -> None:
    make(report=None)
    request = map_request(
        model=MODEL, sources={"dem": [str(tmp_path / "dem.tif")]}, output=tmp_path / "a.tif", report=tmp_path / "a.html"
    )
    words = command_line(request).split()
    assert words[-2:] == ["--report", str(tmp_path / "a.html")]
    done = engine(*words[1:])
    assert done.returncode == 0, done.stderr
    assert Page(tmp_path / "a.html").column("Which source served which sensor", 0, 1)["sar"] == "not there"


@pytest.fixture
def blocks() -> Blocks:
    """A map of 300 x 700 pixels of a tenth of a degree in blocks, with its classes (6 where none) and availability."""
    rng = np.random.default_rng(0)
    grid = Grid(CRS.from_epsg(4326), Affine(0.1, 0, -30, 0, -0.1, 20), 300, 700)
    availability = np.zeros((300, 700), dtype=np.int32)
    availability[:, 100:] = 5
    availability[40:200, 50:400] = rng.integers(0, 8, (160, 350))
    classes = np.where(availability > 0, rng.integers(0, 6, (300, 700)), 6)
    found = []
    for row in range(0, 300, 130):
        for col in range(0, 700, 113):
            window = Window(row, col, min(130, 300 - row), min(113, 700 - col))
            place = window.within(Window(0, 0, 300, 700))
            shape = window.height, window.width
            indices = np.where(classes[place] == 6, 0, classes[place]).astype(np.uint16)
            found.append(MapBlock(window, indices, np.full(shape, 40, dtype=np.uint8), availability[place]))
    return grid, found, classes, availability


def test_what_is_counted_by_class_and_scenario_is_true_on_the_ground(
    blocks: Blocks,
) -> None:
    """Areas of pixels of a tenth of a degree fall by the latitude: by two thirds within 30 degrees of a tile."""
    grid, parts, classes, availability = blocks
    model = Model(MODEL)
    tally = Tally(model.modalities, len(model.classes), grid, PixelAreas(grid))
    sums: dict[str, dict[int, float]] = {}
    for block in parts:
        tally.add(block, block.availability > 0, block.window)
        for name, counts in tally.taken().items():
            total = sums.setdefault(name, {})
            for key, value in counts.items():
                total[int(key)] = total.get(int(key), 0) + value
    geod = pyproj.Geod(ellps="WGS84")
    latitudes = 20 - 0.1 * np.arange(301)
    sizes = np.array(
        [
            abs(geod.polygon_area_perimeter([0, 0.1, 0.1, 0], [south, south, north, north])[0])
            for north, south in pairwise(latitudes)
        ]
    )[:, None]
    pixels, metres = by_mask(sums["cells"], 6), by_mask(sums["cell area"], 6)
    assert sorted(pixels) == sorted(np.unique(availability))
    for bits, counts in pixels.items():
        for index, count in enumerate(counts):
            chosen = (classes == index) & (availability == bits)
            assert count == chosen.sum()
            assert metres[bits][index] == pytest.approx((chosen * sizes).sum(), rel=1e-3)
    assert [sums["area"][index] for index in range(6)] == pytest.approx(
        [sum(of_mask[index] for of_mask in metres.values()) for index in range(6)]
    )
    assert sums["confidences"][40] == (availability > 0).sum()


def test_the_picture_is_every_nth_pixel_of_the_availability(
    blocks: Blocks,
) -> None:
    grid, parts, _, availability = blocks
    model = Model(MODEL)
    tally = Tally(model.modalities, len(model.classes), grid, None)
    runs: dict[int, float] = {}
    for block in reversed(parts):
        tally.add(block, block.availability > 0, block.window)
        runs |= {int(key): value for key, value in tally.taken()["picture"].items()}
    found = picture(runs, 300, 700)
    assert max(found.shape) <= PICTURE
    np.testing.assert_array_equal(found, availability[::3, ::3])
