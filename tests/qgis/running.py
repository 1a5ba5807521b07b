"""The algorithm run as scripts do, and as the dialog does."""

from __future__ import annotations

ALGORITHM = "robustlandcover:segment"


def run(parameters, feedback, context=None):
    import processing

    return processing.run(ALGORITHM, {"DEVICE": "cpu", **parameters}, feedback=feedback, context=context)


def loaded(project, parameters, feedback, names=("OUTPUT",)):
    """Runs as the dialog does: what is made is loaded into the project, under the names that the dialog gives."""
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsApplication, QgsProcessingContext

    algorithm = QgsApplication.processingRegistry().algorithmById(ALGORITHM)
    context = QgsProcessingContext()
    context.setProject(project)
    for name in names:
        title = algorithm.parameterDefinition(name).description()
        details = QgsProcessingContext.LayerDetails(title, project, name)
        context.addLayerToLoadOnCompletion(parameters[name], details)
    run(parameters, feedback, context)
    assert handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
