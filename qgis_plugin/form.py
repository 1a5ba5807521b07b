"""The form of a model's sensors: a row for each, filled by what the engine finds among the layers, changed by hand.

It is the widget of the parameter ``ASSIGNMENT``, whose text is what the rows say; batch and models have the text alone.
"""

import json
from functools import partial

from processing.gui.wrappers import WidgetWrapper, WidgetWrapperFactory
from qgis.core import QgsProcessingFeedback, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QCoreApplication, Qt, QTimer
from qgis.PyQt.QtWidgets import (
    QGridLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from .assignment import NONE, parts
from .interpreter import EngineNotFoundError, find_interpreter
from .layers import UsedLayer, project_layers, unique_names
from .process import PROTOCOL, told
from .sensorrow import Row
from .work import Step, StepError, Work, WorkError

RETRY = 2000
"""Milliseconds after which it is looked again for an engine that was not there."""

DELAY = 300
"""Milliseconds after the last change before the engine is asked."""

_plain = []
"""Definitions of parameters that a dialog without the form shows; QGIS does not keep them."""


def _standard(dialog):
    """Whether a dialog is that of a single run, which has room for the form."""
    return type(dialog).__name__ == "AlgorithmDialog"


class _InStandardDialogs(WidgetWrapper):
    """A wrapper that other dialogs than that of a run replace by QGIS's own."""

    def __new__(cls, param, dialog, row=0, col=0, **options):
        if _standard(dialog):
            return super().__new__(cls, param, dialog, row, col, **options)
        plain = param.clone()
        plain.setMetadata({})
        _plain.append(plain)
        return WidgetWrapperFactory.create_wrapper(plain, dialog, row, col)


class SlotWrapper(_InStandardDialogs):
    """A layer by the place of its sensor: in the dialog the form's rows serve for it, unless it was given a value."""

    def createWidget(self):
        """Shows the value that was given."""
        self.given = None
        return QLabel(visible=False)

    def createLabel(self):
        """Is not seen."""
        return QLabel(visible=False)

    def setValue(self, value):
        """Of a call or of the history."""
        self.given = value
        self.widget.setText(f"{self.parameterDefinition().description()}: {value}")
        self.widget.setVisible(value not in (None, ""))

    def value(self):
        """What was given."""
        return self.given

    def told(self):
        """It in words; empty where nothing was given."""
        return self.widget.text() if self.given not in (None, "") else ""


class FormWrapper(_InStandardDialogs):
    """The form in the dialog of a run."""

    def createWidget(self):
        """The form; it asks the engine when model or layers change."""
        self.form = Form()
        return self.form

    def createLabel(self):
        """Stands above the rows."""
        return QLabel(_tr("Sensors"))

    def postInitialize(self, wrappers):
        """Finds the parameters that the form depends on."""
        by_name = {one.parameterDefinition().name(): one for one in wrappers}
        self.form.listen(partial(_value, by_name["MODEL"]), partial(_value, by_name["LAYERS"]))
        self.form.slots = lambda: [one.told() for one in wrappers if isinstance(one, SlotWrapper)]
        for name in ("MODEL", "LAYERS"):
            by_name[name].widgetValueHasChanged.connect(self.form.soon)
        self.form.soon()

    def setValue(self, value):
        """An assignment that was chosen before."""
        self.form.set_text(value or "")

    def value(self):
        """The assignment that the rows say."""
        return self.form.text()


def _value(wrapper, *_):
    return wrapper.value() if isinstance(wrapper, WidgetWrapper) else wrapper.parameterValue()


class Form(QWidget):
    """A row for each sensor of the model, and what accuracy to expect from those that are there."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.model = self.layers = lambda: None
        self.slots = tuple  # what names layers by their sensors' places, where something does
        self.work = None
        self.asked = None
        self.rows = []
        self.facts = None
        self.of = None  # the model of the facts
        self.by_hand = False
        self.line = QLineEdit()
        self.line.setPlaceholderText(_tr("found out, or modality=layer@bands;..."))
        self.line.textEdited.connect(self.set_text)
        self.state = QLabel(wordWrap=True)
        self.grid = QGridLayout()
        self.expected = QLabel(wordWrap=True)
        self.expected.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.grid)
        layout.addWidget(self.state)
        layout.addWidget(self.expected)
        layout.addWidget(self.line)
        self.timer = QTimer(self, singleShot=True, interval=DELAY)
        self.timer.timeout.connect(self.ask)

    def listen(self, model, layers):
        """Takes what gives the model's path and the layers that are chosen."""
        self.model, self.layers = model, layers
        project = QgsProject.instance()
        project.layersAdded.connect(self.soon)
        project.layersRemoved.connect(self.soon)
        project.layerTreeRoot().nameChanged.connect(self.soon)

    def soon(self, *_):
        """Asks the engine in a moment, when nothing changes any more; what was said of another model goes at once."""
        if self.of not in (None, self.model()):
            self.by_hand, self.of = False, None
            self.line.clear()
            self._clear("")
        self.timer.start()

    def text(self):
        """The assignment."""
        return self.line.text().strip()

    def set_text(self, text):
        """An assignment that was written."""
        self.by_hand = bool(text)
        if text != self.line.text():
            self.line.setText(text)
        self._written()

    def ask(self):
        """Asks the engine which layers can serve which sensor; QGIS goes on meanwhile."""
        job = self._job()
        if job is None or job == self.asked:
            return
        if any(self.slots()):
            self._clear(_tr("Layers are named by their sensors: {}").format(", ".join(filter(None, self.slots()))))
            self.line.clear()
            return
        self.asked = job
        if self.work is not None:
            self.work.ended.disconnect()
            self.work.cancel()
        self.state.setText(_tr("Looking at model and layers…"))
        self.state.setVisible(True)
        self.work = Work(_answer(job), parent=self)
        self.work.ended.connect(self._answered)
        self.work.start()

    def _job(self):
        model = self.model()
        if not model:
            self._clear("")
            return None
        chosen = [_layer(one) for one in self.layers() or ()]
        layers = [one for one in chosen if one is not None] or project_layers(
            QgsProject.instance(), set(), QgsProcessingFeedback(False)
        )
        used = [UsedLayer(layer, name) for layer, name in zip(layers, unique_names(layers))]
        described = [{"name": one.name, "path": one.path} for one in used if one.path is not None]
        self.known = {one.name: layer for one, layer in zip(used, layers)}
        return json.dumps({"protocol": PROTOCOL, "task": "match", "model": model, "layers": described})

    def _clear(self, text):
        while self.grid.count():
            self.grid.takeAt(0).widget().deleteLater()
        self.rows = []
        self.facts = self.asked = None
        self.state.setText(text)
        self.state.setVisible(bool(text))
        self.expected.clear()

    def _answered(self, good, found):
        asked = self.asked
        self._clear("" if good else found)
        self.work, self.asked = None, asked
        if not good:
            self.asked = None
            if not _engine():
                QTimer.singleShot(RETRY, self.soon)  # it may be set up meanwhile
            return
        self.facts, self.of = found, json.loads(asked)["model"]
        for place, sensor in enumerate(found["sensors"]):
            row = Row(sensor, self.known, self)
            row.place(self.grid, place)
            self.rows.append(row)
        if self.by_hand:
            self._written()
        else:
            self._write()

    def changed_by_hand(self):
        """A row was changed."""
        self.by_hand = True
        self._write()

    def _write(self):
        """Brings the text and the accuracy up to date with the rows."""
        self.line.setText(";".join(row.assignment for row in self.rows if row.assignment) or NONE)
        self._show_expected()

    def _written(self):
        """Brings the rows up to date with the text."""
        named = {}
        for part in parts(self.text()):
            named.setdefault(part.partition("=")[0].strip(), []).append(part)
        for row in self.rows:
            row.take(";".join(named.get(row.name, ())))
        self._show_expected()

    def _show_expected(self):
        if self.facts is None:
            return
        present = [row.name for row in self.rows if row.usable]
        if not present:
            self.expected.setText(_red(_tr("No layer serves any sensor of the model; choose one.")))
            return
        scenario = "+".join(present)
        known = {one["scenario"]: one for one in sorted(self.facts["accuracy"], key=lambda one: one["split"] == "test")}
        found = known.get(scenario)
        if found is None:
            self.expected.setText(_tr("From {}; how well was not measured.").format(_names(present)))
            return
        text = _tr("From {}: expected mIoU {:.2f}").format(_names(present), found["miou"])
        if scenario in self.facts["weak"]:
            text += " " + _red(_tr("— hardly better than guessing ({:.2f})").format(self.facts["guess"]))
        classes = found.get("classes") or ()
        if classes:
            pairs = zip(self.facts["classes"], classes)
            told = [f"{_escaped(name)} {_tr('none') if iou is None else format(iou, '.2f')}" for name, iou in pairs]
            text += "<br><small>" + _tr("IoU by class: {}").format(", ".join(told)) + "</small>"
        self.expected.setText(text)


def _engine():
    """Whether there is an engine."""
    try:
        return bool(find_interpreter())
    except EngineNotFoundError:
        return False


def _answer(job):
    """The steps that ask the engine; what it answers, or its error in words."""
    try:
        interpreter = find_interpreter()
    except EngineNotFoundError as error:
        raise WorkError(error.short) from error
    try:
        said = yield Step("", interpreter, ["-I", "-m", "engine.cli", "job"], written=(job + "\n").encode())
    except StepError as error:
        said = error.output
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    for event in events:
        if event["event"] == "result":
            return event
        if event["event"] == "error":
            raise WorkError(told(event))
    if "No module named" in said:
        raise WorkError(_tr("{} does not have the engine.").format(interpreter))
    raise WorkError(_tr("The engine does not answer:\n{}").format(said[-500:]))


def _layer(value):
    """A layer of a parameter's value."""
    if isinstance(value, QgsRasterLayer):
        return value
    found = QgsProject.instance().mapLayer(str(value))
    if found is None:
        found = QgsRasterLayer(str(value), str(value).replace("\\", "/").rpartition("/")[2].rpartition(".")[0])
    return found if found.isValid() else None


def _names(present):
    return " + ".join(f"<b>{_escaped(name)}</b>" for name in present)


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _red(text):
    return f'<span style="color: #b00020"><b>{text}</b></span>'


def _tr(text):
    return QCoreApplication.translate("Form", text)
