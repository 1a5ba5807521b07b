"""The algorithm "Map every scene of a folder"."""

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QCoreApplication

from .maps import MapAlgorithm
from .segment import DEVICES


class MapFolder(MapAlgorithm):
    """Maps every scene of a folder, and goes on where it was."""

    FOLDER = "FOLDER"
    PATTERN = "PATTERN"
    ASSIGNMENT = "ASSIGNMENT"
    OVERWRITE = "OVERWRITE"
    DEVICE = "DEVICE"
    LAYERS_MADE = "MAPS"
    MAPPED = "MAPPED"
    FAILED = "FAILED"

    def name(self):
        """Fixed for ever: scripts and models name it."""
        return "mapfolder"

    def displayName(self):
        """As the toolbox shows it."""
        return _tr("Map every scene of a folder")

    def shortDescription(self):
        """One sentence."""
        return _tr("Maps land cover of many scenes, each from whichever of a model's sensors it has.")

    def shortHelpString(self):
        """What stands beside the parameters."""
        return _tr(
            "Maps each scene of a folder: each of its subfolders or, with a pattern, what the pattern takes together. "
            "Which of its rasters is which sensor is found out for each scene, as in “Robust land-cover "
            "segmentation”.\n\n"
            "A scene that fails is told, and the others are mapped. Scenes whose maps are there already are passed "
            "over, and one that was begun goes on: after a cancel or a crash run it again as it was."
        )

    def initAlgorithm(self, configuration=None):
        """Parameters and outputs."""
        self._add_model()
        self._add(
            QgsProcessingParameterFile(self.FOLDER, _tr("Scenes"), QgsProcessingParameterFile.Behavior.Folder),
            _tr("The folder that holds the scenes, each in a subfolder unless there is a pattern."),
        )
        self._add(
            QgsProcessingParameterString(self.PATTERN, _tr("Pattern of the scenes' files"), optional=True),
            _tr(
                "How files are called within the folder: {scene} stands for what is the same in all files of a scene, "
                "* for anything. {scene}_*.tif takes 2024-05_optical.tif and 2024-05_sar.tif as scene 2024-05."
            ),
        )
        self._add(
            QgsProcessingParameterString(self.ASSIGNMENT, _tr("Assignment (modality=file[@bands];...)"), optional=True),
            _tr(
                "Which file is which sensor, the same for every scene, if that should not be found out, as in "
                "optical=optical.tif@4,3,2;dem=dem.tif. With a pattern {scene} stands for the scene's name."
            ),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterEnum(
                self.DEVICE, _tr("Device"), list(DEVICES), defaultValue="auto", usesStaticStrings=True
            ),
            _tr("Where the network runs, by name; auto takes a GPU where the engine has one that works."),
            advanced=True,
        )
        self._add(
            QgsProcessingParameterBoolean(self.CONFIDENCE, _tr("Also write confidences"), False),
            _tr("Writes SCENE_confidence.tif beside each map."),
        )
        self._add(
            QgsProcessingParameterBoolean(self.AVAILABILITY, _tr("Also write availabilities"), False),
            _tr("Writes SCENE_availability.tif beside each map: which sensors each pixel had."),
        )
        self._add(
            QgsProcessingParameterBoolean(self.OVERWRITE, _tr("Map again what is there"), False),
            _tr("Otherwise a scene whose map is there already is passed over."),
        )
        self._add(
            QgsProcessingParameterFolderDestination(self.OUTPUT, _tr("Maps")),
            _tr("The folder of the maps, each called as its scene."),
        )
        self.addOutput(QgsProcessingOutputMultipleLayers(self.LAYERS_MADE, _tr("Maps that are there")))
        self._add_numbers(
            {self.MAPPED: _tr("Number of scenes mapped"), self.FAILED: _tr("Number of scenes that failed")}
        )

    def checkParameterValues(self, parameters, context):
        """Also takes a device by its number."""
        device = self._choice(parameters, self.DEVICE, DEVICES, context)
        return super().checkParameterValues({**parameters, self.DEVICE: device}, context)

    def processAlgorithm(self, parameters, context, feedback):
        """Asks the engine."""
        folder = self.parameterAsString(parameters, self.OUTPUT, context)
        options = {
            "folder": self.parameterAsFile(parameters, self.FOLDER, context),
            "output": folder,
            "pattern": self.parameterAsString(parameters, self.PATTERN, context),
            "assignment": self.parameterAsString(parameters, self.ASSIGNMENT, context),
            "confidence": self.parameterAsBool(parameters, self.CONFIDENCE, context),
            "availability": self.parameterAsBool(parameters, self.AVAILABILITY, context),
            "overwrite": self.parameterAsBool(parameters, self.OVERWRITE, context),
            "map": {"device": self._choice(parameters, self.DEVICE, DEVICES, context)},
        }
        model = self.parameterAsFile(parameters, self.MODEL, context)
        scenes = self._run({"task": "mapfolder", "model": model, "options": options}, feedback)["scenes"]
        failed = [scene for scene in scenes if scene["state"] == "failed"]
        there = [scene["path"] for scene in scenes if scene["state"] != "failed"]
        text = _tr("{mapped} scenes mapped, {there} were there already, {failed} failed").format(
            mapped=sum(scene["state"] == "mapped" for scene in scenes),
            there=sum(scene["state"] == "there" for scene in scenes),
            failed=len(failed),
        )
        if not there:
            raise QgsProcessingException("\n".join([text, *("{scene}: {text}".format(**scene) for scene in failed)]))
        feedback.pushInfo(text)
        return {
            self.OUTPUT: folder,
            self.LAYERS_MADE: there,
            self.MAPPED: sum(scene["state"] == "mapped" for scene in scenes),
            self.FAILED: len(failed),
        }


def _tr(text):
    return QCoreApplication.translate("MapFolder", text)
