"""Layers by the place of their sensor, as models and scripts name them; and layers that nothing needs."""

from __future__ import annotations

import pytest

ALGORITHM = "robustlandcover:segment"


@pytest.fixture
def run(project, material, tmp_path, feedback):
    """Maps with the synthetic model."""
    import processing

    def run(name="map", **parameters):
        fixed = {"MODEL": str(material / "synthetic.onnx"), "DEVICE": "cpu", "OUTPUT": str(tmp_path / f"{name}.tif")}
        return processing.run(ALGORITHM, {**fixed, **parameters}, feedback=feedback)

    return run


def values(path):
    from osgeo import gdal

    return gdal.Open(path).ReadAsArray().tobytes()


def test_layers_by_the_place_of_their_sensor_are_those_of_an_assignment(run, load, material):
    optical, dem = (load(material / "second" / f"{name}.tif") for name in ("optical", "dem"))
    load(material / "second" / "sar.tif")
    found = run(SENSOR_1=optical, SENSOR_3=dem, BANDS="3,2,1,4;;1")
    assert found["SCENARIO"] == "optical+dem"
    expected = run("expected", ASSIGNMENT="optical=optical@3,2,1,4;dem=dem@1")
    assert values(found["OUTPUT"]) == values(expected["OUTPUT"])
    added = run("added", ASSIGNMENT="optical=optical@3,2,1,4", SENSOR_3=str(material / "second" / "dem.tif"))
    assert values(added["OUTPUT"]) == values(expected["OUTPUT"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"SENSOR_4": "dem"}, r"sensor 4 \(dem\); the model has 3: optical, sar, dem"),
        ({"SENSOR_3": "dem", "ASSIGNMENT": "dem=dem"}, "dem is named in the assignment and as sensor 3"),
        ({"SENSOR_3": "dem", "LAYERS": ["dem"]}, "by sensor or together, not both"),
        ({"ASSIGNMENT": "dem=?"}, "dem: choose the layer that it is"),
        ({"ASSIGNMENT": "none"}, "There is no layer to map from"),
        ({"SENSOR_3": "dem", "BANDS": ";;7"}, "band"),
    ],
)
def test_what_contradicts_itself_is_refused(run, load, material, parameters, message):
    from qgis.core import QgsProcessingException

    load(material / "second" / "dem.tif")
    with pytest.raises(QgsProcessingException, match=message):
        run(**parameters)


def test_a_chosen_layer_that_is_not_used_is_a_warning_and_by_choice_an_error(run, load, material, feedback):
    from qgis.core import QgsProcessingException

    layers = [load(material / "second" / f"{name}.tif") for name in ("dem", "labels", "optical")]
    run(LAYERS=layers[:2])
    assert any("labels was chosen and is not used" in text for text in feedback.warnings)
    with pytest.raises(QgsProcessingException, match="labels was chosen and is not used"):
        run("strict", LAYERS=layers[:2], STRICT=True)
    run("assigned", LAYERS=[layers[0], layers[2]], ASSIGNMENT="dem=dem")
    assert any("optical was chosen and is not used: the assignment" in text for text in feedback.warnings)
    feedback.warnings.clear()
    run("project")
    assert not [text for text in feedback.warnings if "was chosen" in text], (
        "what only lies in the project may lie there"
    )
