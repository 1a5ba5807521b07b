"""What comes after a map, many maps, and the ready models, in a running QGIS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(algorithm, parameters, feedback, context=None):
    import processing

    return processing.run(f"robustlandcover:{algorithm}", parameters, feedback=feedback, context=context)


def loaded(algorithm, project, parameters, feedback, names):
    """Runs as the dialog does: what is made is loaded into the project, under the names that the dialog gives."""
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsApplication, QgsProcessingContext

    found = QgsApplication.processingRegistry().algorithmById(f"robustlandcover:{algorithm}")
    context = QgsProcessingContext()
    context.setProject(project)
    for name in names:
        details = QgsProcessingContext.LayerDetails(found.parameterDefinition(name).description(), project, name)
        context.addLayerToLoadOnCompletion(parameters[name], details)
    result = run(algorithm, parameters, feedback, context)
    assert handleAlgorithmResults(found, context, feedback, parameters=parameters)
    return result


def wrong(algorithm, parameters, feedback, message):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException) as caught:
        run(algorithm, parameters, feedback)
    assert message in str(caught.value) + "\n".join(feedback.warnings)


@pytest.fixture(scope="module")
def mapped(engine, material, tmp_path_factory):
    """A folder with maps of the second scene: from all sensors, and from radar alone; confidence and availability."""
    folder = tmp_path_factory.mktemp("mapped")
    for name, sensors in (("map", ("optical", "sar", "dem")), ("radar", ("sar",))):
        words = [f"{sensor}={material / 'second' / sensor}.tif" for sensor in sensors]
        outputs = ["-o", folder / f"{name}.tif", "--confidence", folder / f"{name}_confidence.tif"]
        outputs += ["--availability", folder / f"{name}_availability.tif", "--like", material / "second/sar.tif"]
        command = [engine, "-I", "-m", "engine.cli", "predict", material / "synthetic.onnx", *words, *outputs]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr
    return folder


def drawn(layer):
    """A picture of a layer, 4 x 4 points a pixel of 10 m."""
    from qgis.core import QgsMapRendererSequentialJob, QgsMapSettings
    from qgis.PyQt.QtCore import QSize

    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(round(layer.extent().width() / 2.5), round(layer.extent().height() / 2.5)))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def test_polygons_come_into_the_project_with_the_maps_names_and_colours(project, load, mapped, tmp_path, feedback):
    import numpy as np
    from osgeo import gdal
    from qgis.core import QgsWkbTypes

    parameters = {
        "INPUT": load(mapped / "map.tif"),
        "CONFIDENCE": load(mapped / "map_confidence.tif"),
        "AVAILABILITY": load(mapped / "map_availability.tif"),
        "OUTPUT": str(tmp_path / "Flächen.gpkg"),
    }
    result = loaded("polygonize", project, parameters, feedback, ["OUTPUT"])
    (layer,) = project.mapLayersByName("Polygons")
    assert layer.featureCount() == result["POLYGONS"] > 10
    assert (layer.wkbType(), layer.crs().authid()) == (QgsWkbTypes.Type.Polygon, "EPSG:32631")
    renderer = layer.renderer()
    assert (renderer.type(), renderer.classAttribute()) == ("categorizedSymbol", "value")
    values = gdal.Open(str(mapped / "map.tif")).ReadAsArray()
    legend = {int(one.value()): (one.label(), one.symbol().color().name()) for one in renderer.categories()}
    assert set(legend) == set(np.unique(values[values != 255]).tolist())
    raster = project.mapLayersByName("map")[0].renderer()
    colours = {entry.value: (entry.label, entry.color.name()) for entry in raster.classes()}
    assert legend == {value: colours[value] for value in legend}
    pixels = {}
    for feature in layer.getFeatures():
        pixels[feature["value"]] = pixels.get(feature["value"], 0) + feature["pixels"]
        assert 0 <= feature["confidence"] <= 100
        assert feature["scenario"] in ("optical+sar+dem", "optical+dem", "sar+dem", "dem")
    assert pixels == {value: int((values == value).sum()) for value in legend}
    assert result["MERGED"] == 0
    picture = drawn(layer)
    for value, (_, colour) in legend.items():
        row, col = np.argwhere(values == value)[0]
        assert picture.pixelColor(4 * int(col) + 2, 4 * int(row) + 2).name() == colour


def rows_of(path):
    """The attributes of a layer's features."""
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer(str(path), "rows", "ogr")
    return [feature.attributeMap() for feature in layer.getFeatures()]


def test_a_minimum_leaves_no_smaller_polygon_that_has_a_neighbour(project, mapped, tmp_path, feedback):
    parameters = {"INPUT": str(mapped / "map.tif"), "MINIMUM": 0.5, "OUTPUT": str(tmp_path / "p.gpkg")}
    result = run("polygonize", parameters, feedback)
    assert min(row["hectares"] for row in rows_of(result["OUTPUT"])) >= 0.5
    assert result["MERGED"] > 0
    assert run("polygonize", {**parameters, "MINIMUM": 0}, feedback)["MERGED"] == 0
    temporary = run("polygonize", {**parameters, "OUTPUT": "TEMPORARY_OUTPUT"}, feedback)
    assert temporary["OUTPUT"].endswith(".gpkg")
    wrong("polygonize", {**parameters, "OUTPUT": str(tmp_path / "p.shp")}, feedback, "p.shp")
    table = f"ogr:dbname='{tmp_path / 'p.gpkg'}' table=\"parts\""
    wrong("polygonize", {**parameters, "OUTPUT": table}, feedback, "give it a name that ends in .gpkg")


def zones(layer):
    """A layer in memory: the western half of a raster, and nearly all of it."""
    from qgis.core import QgsFeature, QgsGeometry, QgsRectangle, QgsVectorLayer

    found = QgsVectorLayer(f"Polygon?crs={layer.crs().authid()}&field=name:string", "zones", "memory")
    area = layer.extent()
    middle = area.center().x()
    for name, east in (("West", middle), ("fast alles", area.xMaximum() - 10)):
        feature = QgsFeature(found.fields())
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(area.xMinimum(), area.yMinimum(), east, area.yMaximum())))
        feature["name"] = name
        assert found.dataProvider().addFeature(feature)
    return found


def test_statistics_count_the_selected_zones_and_come_as_a_table(project, load, mapped, tmp_path, feedback):
    import numpy as np
    from osgeo import gdal
    from qgis.core import QgsProcessingFeatureSourceDefinition

    layer = load(mapped / "map.tif")
    area = zones(layer)
    project.addMapLayer(area)
    area.selectByIds([2])
    parameters = {
        "INPUT": layer,
        "CONFIDENCE": str(mapped / "map_confidence.tif"),
        "ZONES": QgsProcessingFeatureSourceDefinition(area.id(), True),
        "ZONE_FIELD": "name",
        "OUTPUT": str(tmp_path / "table.csv"),
    }
    result = loaded("statistics", project, parameters, feedback, ["OUTPUT"])
    (table,) = project.mapLayersByName("Table")
    rows = list(table.getFeatures())
    values = gdal.Open(str(mapped / "map.tif")).ReadAsArray()
    whole = [row for row in rows if row["part"] == "map"]
    assert sum(int(row["pixels"]) for row in whole) == result["PIXELS"] == (values != 255).sum()
    assert sum(float(row["hectares"]) for row in whole) == pytest.approx(result["HECTARES"], rel=1e-5)
    assert len(whole) == result["CLASSES"] == len(np.unique(values[values != 255]))
    inside = [row for row in rows if row["part"] == "zone"]
    assert {row["name"] for row in inside} == {"fast alles"}
    assert sum(int(row["pixels"]) for row in inside) == (values[:, :-1] != 255).sum()
    everything = {**parameters, "ZONES": area, "OUTPUT": str(tmp_path / "all.csv")}
    run("statistics", everything, feedback)
    assert "West" in (tmp_path / "all.csv").read_text(encoding="utf-8")


def test_change_is_styled_and_marks_other_sensors(project, load, mapped, tmp_path, feedback):
    import numpy as np
    from osgeo import gdal

    parameters = {
        "FIRST": load(mapped / "map.tif"),
        "SECOND": load(mapped / "radar.tif"),
        "FIRST_AVAILABILITY": str(mapped / "map_availability.tif"),
        "SECOND_AVAILABILITY": str(mapped / "radar_availability.tif"),
        "OUTPUT": str(tmp_path / "change.tif"),
        "TABLE": str(tmp_path / "change.csv"),
    }
    result = loaded("change", project, parameters, feedback, ["OUTPUT", "TABLE"])
    first, second, codes = (
        gdal.Open(str(path)).ReadAsArray().astype(int)
        for path in (mapped / "map.tif", mapped / "radar.tif", tmp_path / "change.tif")
    )
    both = (first != 255) & (second != 255)
    np.testing.assert_array_equal(codes[both] % 10_000, (first * 100 + second)[both])
    assert result["CHANGED"] == pytest.approx(100 * (first != second)[both].mean())
    assert result["OTHER_SENSORS"] == pytest.approx(100 * (codes[both] >= 10_000).mean())
    (layer,) = project.mapLayersByName("Changes")
    assert layer.renderer().type() == "paletted"
    legend = {entry.value: entry.label for entry in layer.renderer().classes()}
    assert set(legend) == set(np.unique(codes[both]).tolist())
    assert any("→" in label for label in legend.values())
    (table,) = project.mapLayersByName("Table of changes")
    assert sum(int(row["pixels"]) for row in table.getFeatures()) == both.sum()
    del parameters["SECOND_AVAILABILITY"]
    wrong("change", parameters, feedback, "give both or none")


def test_a_folder_of_scenes_is_mapped_and_gone_on_with(project, material, tmp_path, feedback):
    scenes = tmp_path / "scenes"
    for name, layers in (("May", ("sar", "dem")), ("bad", ("labels",))):
        (scenes / name).mkdir(parents=True)
        for layer in layers:
            shutil.copy(material / "second" / f"{layer}.tif", scenes / name)
    parameters = {
        "MODEL": str(material / "synthetic.onnx"),
        "FOLDER": str(scenes),
        "DEVICE": "cpu",
        "AVAILABILITY": True,
        "OUTPUT": str(tmp_path / "maps"),
    }
    result = run("mapfolder", parameters, feedback)
    assert (result["MAPPED"], result["FAILED"]) == (1, 1)
    assert result["MAPS"] == [str(tmp_path / "maps" / "May.tif")]
    assert (tmp_path / "maps" / "May_availability.tif").exists()
    assert any(text.startswith("bad: ") for text in feedback.warnings)
    result = run("mapfolder", {**parameters, "DEVICE": "1"}, feedback)
    assert (result["MAPPED"], result["FAILED"], len(result["MAPS"])) == (0, 1, 1)
    shutil.rmtree(scenes / "May")
    wrong("mapfolder", parameters, feedback, "0 scenes mapped, 0 were there already, 1 failed")


def test_a_cancel_is_said_and_leaves_nothing(project, mapped, tmp_path, feedback):
    feedback.cancel()
    parameters = {"INPUT": str(mapped / "map.tif"), "OUTPUT": str(tmp_path / "p.gpkg")}
    wrong("polygonize", parameters, feedback, "Cancelled; nothing was written")
    assert not list(tmp_path.iterdir())


def test_ready_models_are_algorithms_with_help_that_the_modeler_opens(qgis, plugins):
    from processing.modeler.ModelerAlgorithmProvider import ModelerAlgorithmProvider
    from qgis.core import QgsApplication

    registry = QgsApplication.processingRegistry()
    folder = plugins / "robust_landcover" / "models"
    names = sorted(path.stem for path in folder.glob("*.model3"))
    assert names == ["changeoftwodates", "mapaspolygons"]
    for name in names:
        algorithm = registry.algorithmById(f"robustlandcover:{name}")
        assert algorithm.displayName() != name
        assert algorithm.shortHelpString()
        help_texts = algorithm.helpContent()
        for parameter in algorithm.parameterDefinitions():
            assert help_texts[parameter.name()], parameter.name()
        assert [one.name() for one in algorithm.outputDefinitions()], "outputs are known before a run"
        assert algorithm.canExecute()[0]
    provider = ModelerAlgorithmProvider()
    provider.algs = []
    provider.loadFromFolder(str(folder))
    assert len(provider.algs) == len(names)
    for model in provider.algs:
        good, faults = model.validate()
        assert good, faults
        assert model.canExecute()[0]


def test_the_model_that_maps_and_makes_polygons(project, load, material, tmp_path, feedback):
    from osgeo import gdal
    from qgis.core import QgsProcessingFeatureSourceDefinition

    layers = [load(material / f"second/{name}.tif") for name in ("sar", "dem")]
    area = zones(layers[0])
    project.addMapLayer(area)
    area.selectByIds([1])
    parameters = {
        "MODEL": str(material / "synthetic.onnx"),
        "LAYERS": layers,
        "AREA": QgsProcessingFeatureSourceDefinition(area.id(), True),
        "MINIMUM": 1,
        "segment:Class map": str(tmp_path / "map.tif"),
        "polygonize:Polygons": str(tmp_path / "polygons.gpkg"),
    }
    result = run("mapaspolygons", parameters, feedback)
    rows = rows_of(result["polygonize:Polygons"])
    assert len(rows) > 1
    assert min(row["hectares"] for row in rows) >= 1
    assert {row["scenario"] for row in rows} <= {"sar+dem", "dem"}
    assert all(row["confidence"] > 0 for row in rows)
    assert gdal.Open(str(tmp_path / "map.tif")).RasterXSize == 100, "the western half"


def test_the_model_that_compares_two_dates(project, load, material, tmp_path, feedback):
    from osgeo import gdal

    second = material / "second"
    shifted = tmp_path / "later_sar.tif"
    gdal.Translate(str(shifted), str(second / "sar.tif"), srcWin=[3, 5, 150, 160])
    parameters = {
        "MODEL": str(material / "synthetic.onnx"),
        "FIRST_LAYERS": [load(second / "sar.tif"), load(second / "dem.tif")],
        "SECOND_LAYERS": [load(shifted)],
        "first:First class map": str(tmp_path / "first.tif"),
        "second:Second class map": str(tmp_path / "second.tif"),
        "change:Changes": str(tmp_path / "change.tif"),
        "change:Table of changes": str(tmp_path / "change.csv"),
    }
    result = run("changeoftwodates", parameters, feedback)
    first, changes = gdal.Open(str(tmp_path / "first.tif")), gdal.Open(result["change:Changes"])
    assert changes.GetGeoTransform() == first.GetGeoTransform()
    codes = changes.ReadAsArray()
    assert (codes[codes != 65535] >= 10_000).any(), "radar with elevation before, and radar alone now"
    assert (tmp_path / "change.csv").read_text(encoding="utf-8").startswith("from,from_class,")
