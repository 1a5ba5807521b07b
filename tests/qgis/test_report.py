"""What can be read once a map was made: its report, numbers as outputs, and what QGIS tells of its layers."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from running import ALGORITHM, loaded, run


class Page(HTMLParser):
    """The rows of all tables, as texts of their cells, and the addresses of what a page brings from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


@pytest.fixture
def parameters(load, material):
    """Of a map of the second scene."""
    layers = [load(material / "second" / f"{name}.tif") for name in ("optical", "sar", "dem")]
    return {"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers}


def values(path):
    from osgeo import gdal

    return gdal.Open(str(path)).ReadAsArray()


def test_the_numbers_of_a_map_are_outputs(project, parameters, tmp_path, feedback):
    paths = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "AVAILABILITY")}
    result = run({**parameters, **paths}, feedback)
    found, masks = values(paths["OUTPUT"]), values(paths["AVAILABILITY"])
    names = {1: "water", 2: "forest", 3: "cropland", 4: "grassland", 5: "built-up", 6: "bare"}
    areas = json.loads(result["AREAS"])
    assert list(areas) == list(names.values())
    for value, name in names.items():  # pixels of 10 m in UTM, whose scale is within 1/1000 of 1
        assert areas[name] == pytest.approx((found == value).sum() / 100, rel=2e-3)
    assert result["MAPPED"] == pytest.approx((found != 255).mean())
    shares = json.loads(result["SHARES"])
    assert shares["optical+sar+dem"] == pytest.approx((masks == 7).mean())
    assert shares["dem"] == pytest.approx((masks == 4).mean())
    assert sum(shares.values()) == pytest.approx(1)
    assert "REPORT" not in result
    assert sorted(path.suffix for path in tmp_path.iterdir()).count(".html") == 0


def test_without_georeference_there_are_no_areas(project, load, material, tmp_path, feedback):
    from osgeo import gdal

    array = values(material / "second/dem.tif")
    path = str(tmp_path / "heights.tif")
    bare = gdal.GetDriverByName("GTiff").Create(path, *array.shape[::-1], 1, gdal.GDT_Float32)
    bare.GetRasterBand(1).WriteArray(array)
    del bare
    page = tmp_path / "report.html"
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [load(path)], "ASSIGNMENT": "dem=heights"}
    result = run({**parameters, "OUTPUT": str(tmp_path / "map.tif"), "REPORT": str(page)}, feedback)
    assert json.loads(result["AREAS"]) is None
    assert "hectares" not in page.read_text(encoding="utf-8")


def test_the_report_is_made_by_default_and_opens_as_a_result(qgis):
    from qgis.core import QgsApplication, QgsProcessingOutputHtml

    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    assert algorithm.parameterDefinition("REPORT").createByDefault()
    assert isinstance(algorithm.outputDefinition("REPORT"), QgsProcessingOutputHtml)


def test_the_report_tells_what_the_rasters_hold(project, parameters, tmp_path, feedback):
    path = tmp_path / "Bericht für Åse.html"
    output = str(tmp_path / "map.tif")
    path.write_text("of another map")
    result = run({**parameters, "OUTPUT": output, "REPORT": str(path)}, feedback)
    assert result["REPORT"] == str(path)
    page = Page(path.read_text(encoding="utf-8"))
    found, counts = np.unique(values(output), return_counts=True)
    pixels = dict(zip(found.tolist(), counts.tolist()))
    told = {int(row[1]): row[4] for row in page.rows if len(row) == 8 and row[1].isdigit()}
    assert told == {value: f"{pixels.get(value, 0):,}" for value in (1, 2, 3, 4, 5, 6, 255)}
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert any(f"'{path}'" in line for line in feedback.lines), "the command that is told writes the report too"


def test_qt_shows_the_report_with_its_pictures(qgis, project, parameters, tmp_path, feedback):
    from qgis.PyQt.QtCore import QUrl
    from qgis.PyQt.QtGui import QTextDocument, QTextTable

    path = tmp_path / "report.html"
    run({**parameters, "OUTPUT": str(tmp_path / "map.tif"), "REPORT": str(path)}, feedback)
    document = QTextDocument()
    document.setHtml(path.read_text(encoding="utf-8"))
    tables = [one for one in document.rootFrame().childFrames() if isinstance(one, QTextTable)]
    assert len(tables) == 5
    cell = tables[0].cellAt(1, 2)
    assert cell.firstCursorPosition().block().text() == "water"
    images = [QUrl(address) for address in Page(path.read_text(encoding="utf-8")).addresses]
    assert images
    assert all(document.resource(QTextDocument.ResourceType.ImageResource, address) for address in images), (
        "images in the page are read"
    )


def test_a_cancelled_or_failed_run_leaves_no_report(project, load, parameters, material, tmp_path, feedback):
    from qgis.core import QgsProcessingException

    path = tmp_path / "report.html"
    with pytest.raises(QgsProcessingException):
        run(
            {**parameters, "ASSIGNMENT": "dem=depths", "OUTPUT": str(tmp_path / "a.tif"), "REPORT": str(path)}, feedback
        )
    feedback.cancel()
    with pytest.raises(QgsProcessingException):
        run({**parameters, "OUTPUT": str(tmp_path / "b.tif"), "REPORT": str(path)}, feedback)
    assert not path.exists()


def test_layers_tell_in_qgis_how_they_were_made(project, parameters, tmp_path, feedback):
    from qgis.core import QgsRasterLayer

    outputs = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "CONFIDENCE", "ORIGIN")}
    loaded(project, {**parameters, **outputs}, feedback, tuple(outputs))
    masks = tmp_path / "masks.tif"
    run({**parameters, "OUTPUT": str(tmp_path / "again.tif"), "AVAILABILITY": str(masks)}, feedback)
    share = (values(masks) == 7).mean()
    titles = {}
    for layer in project.mapLayers().values():
        told = layer.metadata()
        titles[layer.source()] = told.title()
        if layer.source() in outputs.values():
            assert f"optical+sar+dem: {share:.2%}, mIoU 0." in told.abstract()
            assert told.history()[0].startswith(f"engine predict {parameters['MODEL']} ")
            assert f"optical+sar+dem: {share:.2%}" in layer.htmlMetadata()
    assert titles[outputs["OUTPUT"]] == "Land cover (synthetic)"
    assert titles[outputs["CONFIDENCE"]] == "Confidence of land cover, in percent (synthetic)"
    assert titles[outputs["ORIGIN"]].startswith("Raster of a mosaic")
    later = QgsRasterLayer(outputs["OUTPUT"], "in a later session")
    later.loadDefaultMetadata()
    assert later.metadata().title() == "Land cover (synthetic)"
