"""Parameters of a segmentation that few runs need: which classes its map has, and what it takes of the machine."""

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QCoreApplication

from .assignment import parts

GROUPS = "GROUPS"
MINIMUM_CONFIDENCE = "MINIMUM_CONFIDENCE"
MINIMUM_ACCURACY = "MINIMUM_ACCURACY"
MEMORY = "MEMORY"
LOW_PRIORITY = "LOW_PRIORITY"


def more_parameters():
    """Each with its help."""
    whole, number = QgsProcessingParameterNumber.Type.Integer, QgsProcessingParameterNumber.Type.Double
    return (
        (
            QgsProcessingParameterString(GROUPS, _tr("Groups of classes (group=class,class;...)"), optional=True),
            _tr(
                "Classes that are mapped as one, by name or value, as in vegetation=forest,shrubland;built=22,23,24, "
                "or with a colour: vegetation:#1c6330=forest,shrubland. Their probabilities are added up. A group has "
                "the lowest value of its classes, and that one's colour unless it is given one; what is in no group "
                "stays as it is. Names stand in double quotes where they hold one of ; = , and quotes."
            ),
        ),
        (
            QgsProcessingParameterNumber(
                MINIMUM_CONFIDENCE,
                _tr("Minimum confidence (percent)"),
                whole,
                optional=True,
                minValue=1,
                maxValue=100,
            ),
            _tr("Pixels whose class is less probable have none in the class map. All have one where empty."),
        ),
        (
            QgsProcessingParameterNumber(
                MINIMUM_ACCURACY, _tr("Minimum accuracy (mIoU)"), number, optional=True, minValue=0.01, maxValue=1
            ),
            _tr(
                "Pixels have no class in the class map where their sensors give the model a lower mIoU (0 to 1) than "
                "this, by the model's own figures, which its card shows. All have one where empty."
            ),
        ),
        (
            QgsProcessingParameterNumber(MEMORY, _tr("Memory (GB)"), number, optional=True, minValue=0.1),
            _tr("What the engine may take at the most, by mapping fewer tiles at a time; what is free where empty."),
        ),
        (
            QgsProcessingParameterBoolean(LOW_PRIORITY, _tr("Let other programs come first"), False, optional=True),
            _tr("The engine runs at a low priority, so that the computer stays quick."),
        ),
    )


def more_options(algorithm, values, context):
    """What was chosen, as a job has it.

    Args:
        algorithm: That has the parameters.
        values: Of a run.
        context: ``QgsProcessingContext``.
    """
    found = {
        "groups": parts(algorithm.parameterAsString(values, GROUPS, context)),
        "low_priority": algorithm.parameterAsBool(values, LOW_PRIORITY, context),
    }
    if values.get(MINIMUM_CONFIDENCE) is not None:
        found["minimum_confidence"] = algorithm.parameterAsInt(values, MINIMUM_CONFIDENCE, context)
    for name in (MINIMUM_ACCURACY, MEMORY):
        if values.get(name) is not None:
            found[name.lower()] = algorithm.parameterAsDouble(values, name, context)
    return found


def _tr(text):
    return QCoreApplication.translate("Options", text)
