"""The algorithm in a running QGIS: maps equal the command line's; what is missing, wrong or cancelled."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from running import ALGORITHM, loaded, run


def command_line(engine, model, sources, output, *extra):
    words = [f"{name}={path}" for name, path in sources.items()]
    subprocess.run(
        [engine, "-I", "-m", "engine.cli", "predict", model, *words, "-o", output, "--device", "cpu", *extra],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )


def classes(path):
    """The class map's bytes, and where it lies."""
    from osgeo import gdal

    dataset = gdal.Open(str(path))
    return dataset.ReadAsArray().tobytes(), dataset.GetGeoTransform(), dataset.GetProjection()


@pytest.mark.parametrize("model", ["synthetic.onnx", "windows.onnx"])
def test_the_map_is_that_of_the_command_line(model, project, load, material, engine, tmp_path, feedback):
    second = material / "second"
    layers = [load(second / f"{name}.tif") for name in ("dem", "optical", "sar")]
    outputs = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "CONFIDENCE", "AVAILABILITY")}
    result = run({"MODEL": str(material / model), "LAYERS": layers, **outputs}, feedback)
    assert {**result, **outputs} == result
    assert (result["SCENARIO"], result["DEVICE_USED"]) == ("optical+sar+dem", "cpu")
    expected = {name: tmp_path / f"expected_{name}.tif" for name in ("map", "confidence", "availability")}
    command_line(
        engine,
        material / model,
        {name: second / f"{name}.tif" for name in ("optical", "sar", "dem")},
        expected["map"],
        *("--confidence", expected["confidence"], "--availability", expected["availability"]),
    )
    for name, path in zip(("OUTPUT", "CONFIDENCE", "AVAILABILITY"), expected.values()):
        assert classes(outputs[name]) == classes(path)
    said = "\n".join(feedback.lines)
    assert "engine predict" in said
    assert "optical+dem" in said, "the share of each scenario is said"
    assert "200 x 240 pixels" in said


def test_none_chosen_takes_what_fits_of_the_project(project, load, material, tmp_path, feedback):
    second = material / "second"
    for name in ("dem", "sar", "labels"):
        load(second / f"{name}.tif")
    result = run({"MODEL": str(material / "synthetic.onnx"), "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    assert result["SCENARIO"] == "sar+dem"
    said = "\n".join(feedback.lines)
    assert "optical: missing; 4 bands (blue, green, red, nir)" in said
    assert "not used: labels" in said


def test_web_maps_and_vanished_layers_are_left_out(project, load, material, tmp_path, feedback):
    from qgis.core import QgsRasterLayer

    web = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png&zmax=3&zmin=0", "streets", "wms")
    project.addMapLayer(web)
    gone = tmp_path / "gone.tif"
    gone.write_bytes((material / "second/sar.tif").read_bytes())
    load(gone)
    gone.unlink()
    load(material / "second/dem.tif")
    result = run({"MODEL": str(material / "synthetic.onnx"), "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    assert result["SCENARIO"] == "dem"
    assert any("streets is a web map" in line for line in feedback.lines)
    assert any("gone cannot be read" in line for line in feedback.warnings)


def test_the_result_is_styled_with_the_models_classes(project, load, material, tmp_path, feedback):
    from qgis.core import QgsPalettedRasterRenderer

    layers = [load(material / "second/dem.tif")]
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, "OUTPUT": str(tmp_path / "map.tif")}
    loaded(project, parameters, feedback)
    (layer,) = project.mapLayersByName("Land cover (synthetic: dem)")
    assert isinstance(layer.renderer(), QgsPalettedRasterRenderer)
    legend = [(entry.value, entry.label, entry.color.name()) for entry in layer.renderer().classes()]
    assert (1, "water", "#2b6cb0") in legend
    assert [label for _, label, _ in legend] == ["water", "forest", "cropland", "grassland", "built-up", "bare"]
    assert layer.dataProvider().sourceNoDataValue(1) == 255


def test_every_run_of_a_session_loads_its_layers_into_a_group_with_the_class_map_on_top(
    project, load, material, tmp_path, feedback
):
    second = material / "second"
    layers = [load(second / f"{name}.tif") for name in ("optical", "sar", "dem")]
    names = ("AVAILABILITY", "CONFIDENCE", "OUTPUT")  # in whatever order QGIS goes through them
    for number in (1, 2):
        outputs = {name: str(tmp_path / f"{name}{number}.tif") for name in names}
        loaded(project, {"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, **outputs}, feedback, names)
    groups = project.layerTreeRoot().findGroups()
    assert len(groups) == 2
    for group in groups:
        assert group.name().startswith("Land cover: synthetic, ")
        found = [node.layer() for node in group.findLayers()]
        assert [layer.name() for layer in found] == [
            "Land cover (synthetic: optical+sar+dem)",
            "Confidence",
            "Availability",
        ]
        assert [layer.renderer().type() for layer in found] == ["paletted", "singlebandpseudocolor", "paletted"]
        ramp = found[1].renderer().shader().rasterShaderFunction()
        assert [(item.value, item.label) for item in ramp.colorRampItemList()][::4] == [(0, "0 %"), (100, "100 %")]
        legend = {entry.value: entry.label for entry in found[2].renderer().classes()}
        assert legend[7] == "optical + sar + dem"
        assert legend[5] == "optical + dem"


def test_a_name_that_a_model_gives_an_output_stays(project, load, material, tmp_path, feedback):
    from qgis.core import QgsProcessingContext

    context = QgsProcessingContext()
    context.setProject(project)
    path = str(tmp_path / "map.tif")
    context.addLayerToLoadOnCompletion(path, QgsProcessingContext.LayerDetails("My map", project, "OUTPUT"))
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [load(material / "second/dem.tif")]}
    run({**parameters, "OUTPUT": path}, feedback, context)
    assert context.layersToLoadOnCompletion()[path].name == "My map"


def test_layers_of_one_name_and_names_with_signs_can_be_told_apart(project, load, material, tmp_path, feedback):
    first, second = (load(material / place / "dem.tif", "dem") for place in ("first", "second"))
    odd = load(material / "second/sar.tif", "May; 10 m = radar @ north")
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [first, second, odd]}
    run(
        {
            **parameters,
            "ASSIGNMENT": 'dem=dem [second/dem.tif];sar="May; 10 m = radar @ north"@1,2',
            "OUTPUT": str(tmp_path / "map.tif"),
        },
        feedback,
    )
    run({**parameters, "LAYERS": [second, odd], "OUTPUT": str(tmp_path / "expected.tif")}, feedback)
    assert classes(tmp_path / "map.tif") == classes(tmp_path / "expected.tif")
    ambiguous = {**parameters, "ASSIGNMENT": "dem=dem", "OUTPUT": str(tmp_path / "none.tif")}
    wrong(ambiguous, feedback, "neither a layer (dem [first/dem.tif], dem [second/dem.tif]")


def test_a_map_is_no_picture(project, load, material, tmp_path, feedback):
    layers = [load(material / "second/dem.tif")]
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, "OUTPUT": str(tmp_path / "map.jpg")}
    wrong(parameters, feedback, "map.jpg: maps are GeoTIFF files; give it a name that ends in .tif")


def test_a_device_is_taken_by_the_number_that_the_help_lists(project, load, material, tmp_path, feedback):
    layers = [load(material / "second/dem.tif")]
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, "OUTPUT": str(tmp_path / "map.tif")}
    assert run({**parameters, "DEVICE": "1"}, feedback)["DEVICE_USED"] == "cpu"


def test_an_assignment_chooses_layers_and_bands(project, load, material, engine, tmp_path, feedback):
    second = material / "second"
    load(second / "optical.tif", "scene of May")
    load(second / "dem.tif", "heights")
    result = run(
        {
            "MODEL": str(material / "synthetic.onnx"),
            "ASSIGNMENT": f"optical=scene of May@nir,3,2,1; sar={second / 'sar.tif'}",
            "OUTPUT": str(tmp_path / "map.tif"),
        },
        feedback,
    )
    assert result["SCENARIO"] == "optical+sar"
    command_line(
        engine,
        material / "synthetic.onnx",
        {"optical": f"{second / 'optical.tif'}@4,3,2,1", "sar": second / "sar.tif"},
        tmp_path / "expected.tif",
    )
    assert classes(tmp_path / "map.tif") == classes(tmp_path / "expected.tif")


def polygons(layer, name="parts"):
    """A layer in memory: the western half of a raster in the first feature, the rest in the second."""
    from qgis.core import QgsFeature, QgsGeometry, QgsRectangle, QgsVectorLayer

    found = QgsVectorLayer(f"Polygon?crs={layer.crs().authid()}", name, "memory")
    area, middle = layer.extent(), layer.extent().center().x()
    for west, east in ((area.xMinimum(), middle), (middle, area.xMaximum())):
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, area.yMinimum(), east, area.yMaximum())))
        assert found.dataProvider().addFeature(feature)
    return found


def test_an_area_is_that_of_the_selected_polygons(project, load, material, tmp_path, feedback):
    import numpy as np
    from osgeo import gdal
    from qgis.core import QgsProcessingFeatureSourceDefinition

    layer = load(material / "second/dem.tif")
    area = polygons(layer)
    project.addMapLayer(area)
    area.selectByIds([1])
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer]}
    run({**parameters, "OUTPUT": str(tmp_path / "all.tif")}, feedback)
    selected = QgsProcessingFeatureSourceDefinition(area.id(), True)
    run({**parameters, "AREA": selected, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    whole, half = (gdal.Open(str(tmp_path / name)).ReadAsArray() for name in ("all.tif", "map.tif"))
    columns = whole.shape[1] // 2
    assert half.shape == (whole.shape[0], columns)
    agreeing = float(np.mean(half == whole[:, :columns]))
    assert agreeing > 0.98, "the tiles of the half end where it does"
    area.removeSelection()
    area.dataProvider().deleteFeatures([1, 2])
    wrong({**parameters, "AREA": area, "OUTPUT": str(tmp_path / "none.tif")}, feedback, "Area: there are no polygons")


def test_options_are_those_of_the_command_line(project, load, material, engine, tmp_path, feedback):
    from osgeo import gdal

    second = material / "second"
    layers = [load(second / f"{name}.tif") for name in ("optical", "dem")]
    load(second / "labels.tif", "clouds: of May")
    like = tmp_path / "like.tif"
    gdal.Translate(str(like), str(second / "dem.tif"), srcWin=[7, 11, 60, 50])
    outputs = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "PROBABILITIES")}
    chosen = {"MASKS": "optical=clouds: of May:values=1,2", "LIKE": load(like), "STRICT": True, "THREADS": 1}
    run({"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, **chosen, **outputs}, feedback)
    expected = [tmp_path / "expected.tif", tmp_path / "expected_probabilities.tif"]
    command_line(
        engine,
        material / "synthetic.onnx",
        {name: second / f"{name}.tif" for name in ("optical", "dem")},
        expected[0],
        *("--probabilities", expected[1], "--like", like, "--strict"),
        *("--mask", f"optical={second / 'labels.tif'}:values=1,2"),
    )
    assert [classes(path) for path in outputs.values()] == [classes(path) for path in expected]
    coarse = {"PIXEL_SIZE": 50, "OUTPUT": str(tmp_path / "coarse.tif")}
    run({"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, **coarse}, feedback)
    assert gdal.Open(coarse["OUTPUT"]).GetGeoTransform()[1] == 50


def test_a_map_of_groups_leaves_what_is_unsure(project, load, material, engine, tmp_path, feedback):
    import numpy as np
    from osgeo import gdal

    second, model = material / "second", str(material / "synthetic.onnx")
    layers = [load(second / f"{name}.tif") for name in ("optical", "dem")]
    outputs = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "CONFIDENCE")}
    plain = {"MODEL": model, "LAYERS": layers, "GROUPS": 'Grün:#00ff00=forest,4; "a; b = c"=built-up,bare'}
    run({**plain, **outputs}, feedback)
    confidence = gdal.Open(outputs["CONFIDENCE"]).ReadAsArray()
    whole = gdal.Open(outputs["OUTPUT"]).ReadAsArray()
    least = int(np.median(confidence[whole != 255])) + 1
    chosen = {"MINIMUM_CONFIDENCE": least, "MINIMUM_ACCURACY": 0.01, "MEMORY": 64, "LOW_PRIORITY": True}
    loaded(project, {**plain, **chosen, **outputs}, feedback)
    unsure = confidence < least
    assert 0 < unsure.sum() < unsure.size
    classes = gdal.Open(outputs["OUTPUT"]).ReadAsArray()
    np.testing.assert_array_equal(classes, np.where(unsure, 255, whole))
    said = "\n".join(feedback.lines)
    assert f"{unsure.mean():7.2%}  left without a class: confidence below {least} %" in said
    assert "--minimum-accuracy 0.01 --device cpu --memory 64.0 --low-priority" in said
    (layer,) = project.mapLayersByName("Land cover (synthetic: optical+dem)")
    legend = [(entry.value, entry.label, entry.color.name()) for entry in layer.renderer().classes()]
    assert legend[:3] == [(1, "water", "#2b6cb0"), (2, "Grün", "#00ff00"), (3, "cropland", "#e0b84c")]
    assert legend[3:] == [(5, "a; b = c", "#c0392b")]
    output = {"OUTPUT": str(tmp_path / "none.tif")}
    wrong({**plain, **output, "GROUPS": "forest,bare"}, feedback, "Group “forest,bare”: expected group=class,class")
    wrong({**plain, **output, "GROUPS": "a=woods"}, feedback, "group a: the model has no class woods; it has water (1)")
    wrong({**plain, **output, "MINIMUM_ACCURACY": 0.9}, feedback, "and the minimum accuracy is 0.9")
    wrong({**plain, **output, "MEMORY": 0.1}, feedback, "--memory allows 0.10 GB")
    assert not (tmp_path / "none.tif").exists()


def test_what_matches_can_be_seen_before_anything_is_mapped(project, load, material, tmp_path, feedback):
    import processing

    second = material / "second"
    load(second / "dem.tif", "heights; of 2026")
    load(second / "sar.tif")
    load(second / "labels.tif")
    model = {"MODEL": str(material / "synthetic.onnx")}
    found = processing.run("robustlandcover:matchlayers", model, feedback=feedback)
    assert found == {"ASSIGNMENT": 'sar=sar@1,2;dem="heights; of 2026"@1', "SCENARIO": "sar+dem"}
    said = "\n".join(feedback.lines)
    assert "optical: missing; 4 bands (blue, green, red, nir)" in said
    assert "not used: labels" in said
    run({**model, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    run({**model, "ASSIGNMENT": found["ASSIGNMENT"], "OUTPUT": str(tmp_path / "assigned.tif")}, feedback)
    assert classes(tmp_path / "assigned.tif") == classes(tmp_path / "map.tif")


def test_a_models_card_opens_as_a_result(qgis, material, tmp_path, feedback):
    import processing
    from qgis.core import QgsApplication, QgsProcessingOutputHtml

    path = tmp_path / "card.html"
    parameters = {"MODEL": str(material / "synthetic.onnx"), "OUTPUT": str(path)}
    found = processing.run("robustlandcover:modelinfo", parameters, feedback=feedback)
    assert found == {"OUTPUT": str(path), "NAME": "synthetic", "SENSORS": "optical, sar, dem", "CLASSES": 6}
    assert "<td>optical + sar + dem</td>" in path.read_text(encoding="utf-8")
    algorithm = QgsApplication.processingRegistry().algorithmById("robustlandcover:modelinfo")
    (page,) = [one for one in algorithm.outputDefinitions() if one.name() == "OUTPUT"]
    assert isinstance(page, QgsProcessingOutputHtml)


def test_the_accuracy_to_expect_is_said_and_a_guess_is_warned_of(project, load, material, engine, tmp_path, feedback):
    """The model was trained for a few steps: with six classes a guess has a mIoU of 1/11."""
    from robust_landcover.process import run_job

    layers = [load(material / "second/dem.tif")]
    model = str(material / "synthetic.onnx")
    run({"MODEL": model, "LAYERS": layers, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    measured = run_job(engine, {"task": "describe", "model": model})["metadata"]["accuracy"]
    (miou,) = [one["miou"] for one in measured if (one["scenario"], one["split"]) == ("dem", "test")]
    assert miou < 1.5 / 11
    assert f"100.00%  dem (expected mIoU {miou:.2f})" in "\n".join(feedback.lines)
    said = (
        f"100% of the map is made from dem, where the model's mIoU was {miou:.2f}: hardly better than guessing (0.09)"
    )
    assert any(text.startswith(said) for text in feedback.warnings)


def test_an_extent_in_another_crs_is_mapped(project, load, material, tmp_path, feedback):
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsRasterLayer, QgsRectangle

    layer = load(material / "second/dem.tif")
    area = layer.extent()
    half = QgsRectangle(area.xMinimum(), area.yMinimum(), area.center().x(), area.center().y())
    crs = QgsCoordinateReferenceSystem("EPSG:3857")
    moved = QgsCoordinateTransform(layer.crs(), crs, project).transformBoundingBox(half)
    extent = f"{moved.xMinimum()},{moved.xMaximum()},{moved.yMinimum()},{moved.yMaximum()} [EPSG:3857]"
    path = str(tmp_path / "map.tif")
    run(
        {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer], "EXTENT": extent, "OUTPUT": path},
        feedback,
    )
    result = QgsRasterLayer(path, "map")
    assert abs(result.width() - layer.width() / 2) <= 6
    assert abs(result.height() - layer.height() / 2) <= 6
    assert result.extent().xMinimum() == pytest.approx(area.xMinimum(), abs=30)


def test_subdatasets_and_virtual_files_serve_as_they_are(project, load, material, tmp_path, feedback):
    from osgeo import gdal

    gdal.UseExceptions()
    second = material / "second"
    gdal.BuildVRT(str(tmp_path / "heights.vrt"), [str(second / "dem.tif")]).FlushCache()
    for table in ("first", "heights"):  # a file of two rasters
        gdal.Translate(
            str(tmp_path / "two.gpkg"),
            str(second / "dem.tif"),
            format="GPKG",
            creationOptions=[f"RASTER_TABLE={table}", "APPEND_SUBDATASET=YES", "TILE_FORMAT=TIFF"],
        )
    subprocess.run(
        [
            "python3",
            "-c",
            "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').write(sys.argv[2], 'sar.tif')",
            str(tmp_path / "sar.zip"),
            str(second / "sar.tif"),
        ],
        check=True,
    )
    layers = [load(tmp_path / "heights.vrt"), load(f"/vsizip/{tmp_path}/sar.zip/sar.tif", "radar")]
    model = str(material / "synthetic.onnx")
    result = run({"MODEL": model, "LAYERS": layers, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    assert result["SCENARIO"] == "sar+dem"
    part = load(f"GPKG:{tmp_path}/two.gpkg:heights", "elevation")
    result = run({"MODEL": model, "LAYERS": [part], "OUTPUT": str(tmp_path / "part.tif")}, feedback)
    assert result["SCENARIO"] == "dem"


def test_a_layer_that_gdal_does_not_read_is_copied_for_the_extent(project, load, material, tmp_path, feedback):
    from qgis.core import QgsRasterLayer

    source = load(material / "second/dem.tif", "heights")
    extent = source.extent()
    uri = (
        f"?crs=EPSG:32631&extent={extent.xMinimum()},{extent.yMinimum()},{extent.xMaximum()},{extent.yMaximum()}"
        f"&width={source.width()}&height={source.height()}&formula=%22heights@1%22%20%2B%200"
        f"&heights:uri={material / 'second/dem.tif'}&heights:provider=gdal"
    )
    virtual = QgsRasterLayer(uri, "computed elevation", "virtualraster")
    if not virtual.isValid():
        pytest.skip("this QGIS has no virtual rasters")
    project.addMapLayer(virtual)
    model = str(material / "synthetic.onnx")
    result = run({"MODEL": model, "LAYERS": [virtual], "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    assert result["SCENARIO"] == "dem"
    assert any("computed elevation is copied" in line for line in feedback.lines)
    run({"MODEL": model, "LAYERS": [source], "OUTPUT": str(tmp_path / "expected.tif")}, feedback)
    assert classes(tmp_path / "map.tif")[:2] == classes(tmp_path / "expected.tif")[:2]


def virtual(source, formula, name):
    from qgis.core import QgsRasterLayer

    extent = source.extent()
    uri = (
        f"?crs=EPSG:32631&extent={extent.xMinimum()},{extent.yMinimum()},{extent.xMaximum()},{extent.yMaximum()}"
        f"&width={source.width()}&height={source.height()}&formula={formula}"
        f"&heights:uri={source.source()}&heights:provider=gdal"
    )
    return QgsRasterLayer(uri, name, "virtualraster")


def test_copies_of_layers_with_like_names_are_kept_apart(project, load, material, tmp_path, feedback):
    source = load(material / "second/dem.tif", "heights")
    one = virtual(source, "%22heights@1%22%20%2B%200", "s 1")
    other = virtual(source, "%22heights@1%22%20*%200", "s-1")
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [one, other], "ASSIGNMENT": "dem=s 1"}
    run({**parameters, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    run({**parameters, "LAYERS": [source], "ASSIGNMENT": "", "OUTPUT": str(tmp_path / "expected.tif")}, feedback)
    assert classes(tmp_path / "map.tif")[:2] == classes(tmp_path / "expected.tif")[:2]


def test_a_copy_that_would_be_too_large_is_refused(project, material, tmp_path, feedback):
    from qgis.core import QgsProcessingException, QgsRasterLayer

    web = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png&zmax=3&zmin=0", "streets", "wms")
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [web], "OUTPUT": str(tmp_path / "map.tif")}
    with pytest.raises(QgsProcessingException, match=r"streets \(wms\) must be copied .* choose a smaller extent"):
        run(parameters, feedback)


def test_a_web_map_is_copied_in_pixels_true_on_the_ground(project, material, tmp_path, feedback):
    """At 60 N a unit of Web Mercator is .5013 m across and .5004 m up: from the radii of curvature of WGS 84."""
    from qgis.core import QgsProcessingException, QgsRasterLayer

    web = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png&zmax=3&zmin=0", "streets", "wms")
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [web], "OUTPUT": str(tmp_path / "map.tif")}
    with pytest.raises(QgsProcessingException) as caught:
        run({**parameters, "EXTENT": "113195,2113195,7399738,9399738 [EPSG:3857]"}, feedback)
    columns, rows = map(int, re.search(r"(\d+) x (\d+) pixels", str(caught.value)).groups())
    assert columns == pytest.approx(2_000_000 * 0.5013 / 10, rel=2e-3)
    assert rows == pytest.approx(2_000_000 * 0.5004 / 10, rel=2e-3)


@pytest.fixture
def tiles():
    """A server of web map tiles that answers when it is told to, with an error."""
    asked, go = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            go.wait(60)
            self.send_error(500)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked, go
    go.set()
    server.shutdown()
    server.server_close()


def web_map(port):
    from qgis.core import QgsRasterLayer

    return QgsRasterLayer(f"type=xyz&url=http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}.png&zmax=12&zmin=0", "web", "wms")


SMALL = {"EXTENT": "300000,306000,5000000,5006000 [EPSG:3857]"}


def test_a_web_map_that_is_being_copied_can_be_cancelled(project, tiles, material, tmp_path, feedback):
    port, asked, _ = tiles
    threading.Thread(target=lambda: (asked.wait(30), feedback.cancel()), daemon=True).start()
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [web_map(port)], **SMALL}
    wrong({**parameters, "OUTPUT": str(tmp_path / "map.tif")}, feedback, "Cancelled while layer web was copied")
    assert not (tmp_path / "map.tif").exists()


def test_a_web_map_that_answers_with_errors_is_no_image(project, tiles, material, tmp_path, feedback):
    port, _, go = tiles
    go.set()
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [web_map(port)], **SMALL}
    wrong({**parameters, "OUTPUT": str(tmp_path / "map.tif")}, feedback, "no layer serves any modality")
    assert any("not used: web" in line for line in feedback.lines)


def wrong(parameters, feedback, message):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException) as caught:
        run(parameters, feedback)
    assert message in str(caught.value) + "\n".join(feedback.warnings)


def test_bad_input_is_answered_in_words(project, load, material, tmp_path, feedback):
    layer = load(material / "second/dem.tif", "heights")
    output = tmp_path / "map.tif"
    good = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer], "OUTPUT": str(output)}
    no_model = tmp_path / "no.onnx"
    no_model.write_bytes(b"this is no network")
    wrong({**good, "MODEL": str(no_model)}, feedback, "is no ONNX file")
    wrong({**good, "MODEL": str(tmp_path / "nowhere.onnx")}, feedback, "nowhere.onnx")
    wrong({**good, "ASSIGNMENT": "thermal=heights"}, feedback, "no modality thermal; it has optical, sar, dem")
    wrong({**good, "ASSIGNMENT": "dem=depths"}, feedback, "depths is neither a layer (heights) nor a raster")
    wrong({**good, "ASSIGNMENT": "dem"}, feedback, "expected modality=layer")
    wrong({**good, "EXTENT": "0,10,0,10 [EPSG:32631]"}, feedback, "lie outside")
    wrong({**good, "LAYERS": [load(material / "second/labels.tif")]}, feedback, "no layer serves any modality")
    project.clear()
    wrong({**good, "LAYERS": []}, feedback, "There is no layer to map from")
    assert not output.exists()


def test_a_layer_whose_file_vanished_is_named(project, load, material, tmp_path, feedback):
    copy = tmp_path / "heights.tif"
    copy.write_bytes((material / "second/dem.tif").read_bytes())
    layer = load(copy)
    copy.unlink()
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer], "OUTPUT": str(tmp_path / "map.tif")}
    wrong(parameters, feedback, "Layer heights cannot be read")


@pytest.fixture
def wide(load, material, tmp_path):
    """An elevation layer of 81 million of the model's pixels (10 m), whose map takes many seconds."""
    from osgeo import gdal

    path = tmp_path / "wide.tif"
    gdal.Translate(
        str(path),
        str(material / "second/dem.tif"),
        width=9000,
        height=9000,
        outputBounds=[500_000, 4_090_000, 590_000, 4_000_000],
        creationOptions=["TILED=YES"],
    )
    return load(path)


def test_a_cancel_ends_the_engine_and_leaves_no_map(wide, material, tmp_path, feedback):
    target = tmp_path / "maps"
    target.mkdir()
    cancelled = []

    def cancel(share):
        journal = target / "map.tif.part" / "journal.jsonl"
        if not cancelled and journal.exists() and journal.stat().st_size:
            cancelled.append(share)
            feedback.cancel()

    feedback.on_progress = cancel
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [wide], "OUTPUT": str(target / "map.tif")}
    wrong(parameters, feedback, f"of the map is kept in {target / 'map.tif.part'}; run again")
    assert cancelled
    assert [path.name for path in target.iterdir()] == ["map.tif.part"], "what is finished waits for the next run"
    assert engines() == []


def engines():
    """Processes of the engine that are children of this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            words = (path / "cmdline").read_bytes()
        except (OSError, ProcessLookupError):
            continue
        if parent == os.getpid() and b"engine.cli" in words:
            found.append(int(path.name))
    return found


def test_an_engine_that_is_killed_is_reported(wide, material, tmp_path, feedback):
    def kill(share):
        for process in engines():
            os.kill(process, signal.SIGKILL)

    feedback.on_progress = kill
    output = tmp_path / "map.tif"
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [wide], "OUTPUT": str(output)}
    wrong(parameters, feedback, "was killed or crashed")
    assert not output.exists()


def test_qgis_itself_is_untouched(project, load, material, tmp_path, feedback):
    def state():
        variables = {key: value for key, value in os.environ.items() if key.startswith(("PROJ_", "GDAL_"))}
        foreign = {name.partition(".")[0] for name in sys.modules} & {
            "rasterio",
            "onnx",
            "onnxruntime",
            "pydantic",
            "engine",
        }
        return list(sys.path), variables, foreign

    before = state()
    layers = [load(material / "second/dem.tif")]
    run({"MODEL": str(material / "synthetic.onnx"), "LAYERS": layers, "OUTPUT": str(tmp_path / "map.tif")}, feedback)
    assert state() == before
    assert before[2] == set()


def test_it_runs_inside_a_model(project, load, material, tmp_path, feedback):
    import processing
    from qgis.core import (
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelOutput,
        QgsProcessingModelParameter,
        QgsProcessingParameterRasterLayer,
    )

    model = QgsProcessingModelAlgorithm("elevation map", "tests")
    model.addModelParameter(QgsProcessingParameterRasterLayer("heights"), QgsProcessingModelParameter("heights"))
    child = QgsProcessingModelChildAlgorithm(ALGORITHM)
    child.setChildId("segment")
    static, given = (
        QgsProcessingModelChildParameterSource.fromStaticValue,
        QgsProcessingModelChildParameterSource.fromModelParameter,
    )
    child.addParameterSources("MODEL", [static(str(material / "synthetic.onnx"))])
    child.addParameterSources("LAYERS", [given("heights")])
    child.addParameterSources("DEVICE", [static("cpu")])
    output = QgsProcessingModelOutput("map")
    output.setChildId("segment")
    output.setChildOutputName("OUTPUT")
    child.setModelOutputs({"map": output})
    model.addChildAlgorithm(child)
    target = str(tmp_path / "map.tif")
    path = tmp_path / "elevation.model3"
    assert model.toFile(str(path))
    read = QgsProcessingModelAlgorithm()
    assert read.fromFile(str(path))
    layer = load(material / "second/dem.tif")
    processing.run(read, {"heights": layer, "segment:map": target}, feedback=feedback)
    run({"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer], "OUTPUT": str(tmp_path / "alone.tif")}, feedback)
    assert classes(target) == classes(tmp_path / "alone.tif")


def test_it_runs_in_a_batch(project, load, material, tmp_path, feedback):
    from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingOutputLayerDefinition

    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    context = QgsProcessingContext()
    context.setProject(project)
    rows = [
        {
            "MODEL": str(material / "synthetic.onnx"),
            "LAYERS": [str(material / place / "dem.tif")],
            "DEVICE": "cpu",
            "OUTPUT": str(tmp_path / f"{place}.tif"),
            "CONFIDENCE": QgsProcessingOutputLayerDefinition(""),  # a cell of the table that was left empty
        }
        for place in ("first", "second")
    ]
    for row in rows:
        good, message = algorithm.checkParameterValues(row, context)
        assert good, message
        _, done = algorithm.run(row, context, feedback)
        assert done
    assert classes(tmp_path / "first.tif") != classes(tmp_path / "second.tif")


def test_without_an_engine_the_toolbox_says_what_to_do(qgis, monkeypatch, tmp_path):
    from qgis.core import QgsApplication

    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    assert algorithm.canExecute()[0]
    monkeypatch.setenv("ROBUST_LANDCOVER_PYTHON", str(tmp_path / "nowhere"))
    able, message = algorithm.canExecute()
    assert not able
    assert "nowhere, which does not exist" in message
    monkeypatch.delenv("ROBUST_LANDCOVER_PYTHON")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    able, message = algorithm.canExecute()
    assert not able
    assert "Set it up in QGIS under Plugins" in message
    assert 'robust_landcover/engine_source[cpu,vector]"' in message, "the engine's source comes with the plugin"


def test_another_programs_engine_is_not_taken_and_another_version_is_named(qgis, monkeypatch, tmp_path):
    from qgis.core import QgsApplication

    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    monkeypatch.delenv("ROBUST_LANDCOVER_PYTHON")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "other/bin"))
    folder = tmp_path / "other/bin"
    folder.mkdir(parents=True)
    for name in ("engine", "python"):
        script(folder / name, "#!/bin/sh\nexit 1\n")
    assert "The engine is not set up." in algorithm.canExecute()[1]
    package = tmp_path / "other/lib/python3.11/site-packages"
    (package / "robust_landcover-0.0.1.dist-info").mkdir(parents=True)
    able, message = algorithm.canExecute()
    assert not able
    assert f"The engine of {folder / 'python'} has version 0.0.1, this plugin version " in message
    from robust_landcover.interpreter import version

    (package / "robust_landcover-0.0.1.dist-info").rename(package / f"robust_landcover-{version()}.dist-info")
    assert algorithm.canExecute() == (True, "")


def help_page(url):
    from qgis.PyQt.QtCore import QUrl

    return Path(QUrl(url).toLocalFile()).read_text(encoding="utf-8")


def test_help_is_plain_text_and_every_parameter_has_one(qgis):
    from qgis.core import QgsApplication

    provider = QgsApplication.processingRegistry().providerById("robustlandcover")
    algorithms = [one for one in provider.algorithms() if one.groupId() != "models"]
    names = sorted(one.name() for one in algorithms)
    assert names == ["change", "mapfolder", "matchlayers", "modelinfo", "polygonize", "segment", "statistics"]
    for algorithm in algorithms:
        assert f'id="{algorithm.name()}"' in help_page(algorithm.helpUrl())
        for text in (algorithm.shortHelpString(), *(one.help() for one in algorithm.parameterDefinitions())):
            assert text
            assert not re.search(r"<[a-z/]", text)


def test_the_parameters_are_checked_without_the_engine(qgis, material, monkeypatch, tmp_path):
    """The check runs in the thread of QGIS's windows, which must not wait for a process."""
    from qgis.core import QgsApplication, QgsProcessingContext

    asked = tmp_path / "asked"
    monkeypatch.setenv("ROBUST_LANDCOVER_PYTHON", script(tmp_path / "python", f"#!/bin/sh\ntouch {asked}\n"))
    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    parameters = {"MODEL": str(material / "synthetic.onnx"), "OUTPUT": str(tmp_path / "map.tif")}
    assert algorithm.checkParameterValues(parameters, QgsProcessingContext())[0]
    assert not asked.exists()


def test_the_setting_comes_before_the_environment(qgis, engine, monkeypatch, tmp_path):
    from processing.core.ProcessingConfig import ProcessingConfig
    from robust_landcover.interpreter import KEY, find_interpreter

    monkeypatch.setenv(KEY, str(tmp_path))
    ProcessingConfig.setSettingValue(KEY, engine)
    try:
        assert find_interpreter() == engine
    finally:
        ProcessingConfig.setSettingValue(KEY, "")


def script(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '#!/bin/sh\nexec /usr/bin/python3 "$@"\n',
            r'does not have the engine(.|\n)*install --upgrade ".*/robust_landcover/engine_source\[cpu,vector\]"',
        ),
        (
            "#!/bin/sh\necho 'Error: No such command '\"'job'.\" >&2\nexit 2\n",
            r'is too old for this plugin(.|\n)*--upgrade ".*/robust_landcover/engine_source"',
        ),
        (
            '#!/bin/sh\necho \'{"event": "hello", "protocol": 0, "engine": "0.0.1", "providers": []}\'\nsleep 5\n',
            r'do not speak the same protocol \(0 and 3\)(.|\n)*--upgrade ".*/robust_landcover/engine_source"',
        ),
        (
            "#!/bin/sh\necho 'cannot open shared object file' >&2\nexit 127\n",
            r"ended without an answer \(exit status 127\)",
        ),
        ("#!/bin/sh\nkill -SEGV $$\n", "was killed or crashed"),
        ("\x7fELF is no program", "cannot be started"),
    ],
)
def test_interpreters_that_do_not_serve_are_explained(qgis, tmp_path, text, message):
    from robust_landcover.process import EngineError, run_job

    interpreter = script(tmp_path / "python", text)
    with pytest.raises(EngineError) as caught:
        run_job(interpreter, {"task": "describe", "model": "x"})
    assert re.search(message, str(caught.value))


def test_the_time_that_is_left_is_told(qgis, monkeypatch, tmp_path, feedback):
    from robust_landcover import process

    monkeypatch.setattr(process, "LEFT", 0.1)
    hello = (
        '{"event": "hello", "protocol": %d, "engine": "", "python": "", "gdal": "", "onnxruntime": "", "providers": []}'
    )
    events = [
        hello % process.PROTOCOL,
        *(f'{{"event": "progress", "share": {share}}}' for share in (0.5, 0.6, 0.61, 0.75)),
    ]
    events.append('{"event": "result"}')
    interpreter = script(tmp_path / "python", "#!/bin/sh\n" + "".join(f"echo '{one}'\nsleep 0.3\n" for one in events))
    said = []
    feedback.setProgressText = said.append
    process.run_job(interpreter, {"task": "describe", "model": "x"}, feedback)
    assert [text.partition(",")[0] for text in said] == ["60% done", "75% done"]
    assert all(re.search(r"about \d+ s left", text) for text in said)


def test_the_engine_gets_none_of_qgis_variables(qgis, monkeypatch):
    from robust_landcover.process import clean_environment

    for name in ("PYTHONPATH", "PROJ_LIB", "GDAL_DATA", "QT_PLUGIN_PATH", "QGIS_PREFIX_PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:8080")
    names = set(clean_environment().keys())
    assert not names & {"PYTHONPATH", "PROJ_LIB", "GDAL_DATA", "QT_PLUGIN_PATH", "QGIS_PREFIX_PATH", "LD_LIBRARY_PATH"}
    assert {"HTTPS_PROXY", "PATH", "HOME"} <= names


def test_what_was_set_on_a_layer_in_qgis_is_not_silently_ignored(project, load, material, tmp_path, feedback):
    from qgis.core import QgsRasterRange

    layer = load(material / "second/dem.tif", "heights")
    parameters = {"MODEL": str(material / "synthetic.onnx"), "LAYERS": [layer], "OUTPUT": str(tmp_path / "map.tif")}
    run(parameters, feedback)
    assert not any("set in QGIS" in line for line in feedback.warnings)
    layer.dataProvider().setUserNoDataValue(1, [QgsRasterRange(100, 100)])
    run(parameters, feedback)
    assert any("heights: the nodata value" in line for line in feedback.warnings)
