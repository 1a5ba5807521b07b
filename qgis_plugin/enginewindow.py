"""The window in which the engine is set up, updated and removed, and the same as a page of QGIS's options."""

import os

from qgis.core import QgsSettings
from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QCoreApplication, QElapsedTimer, pyqtSignal
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from .diagnostics import diagnostics
from .installation import TORCH, Choice, bases, install, remember, remove, settings
from .interpreter import (
    EngineNotFoundError,
    environment,
    environment_python,
    find_interpreter,
    installed_version,
    version,
)
from .process import RUNNING
from .work import WorkError


class EngineWidget(QWidget):
    """Says what engine there is, and sets one up."""

    changed = pyqtSignal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.work = None
        self.log = ""
        self.clock = QElapsedTimer()
        before = settings()
        self.state = QLabel(wordWrap=True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.state)
        layout.addLayout(self._choices(before))
        self.step = QLabel(_tr("Nothing is installed before you press the button."), wordWrap=True)
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.said = QPlainTextEdit(readOnly=True)
        self.said.setMaximumBlockCount(5000)
        self.said.setVisible(False)
        for widget in (self.step, self.bar, self.said):
            layout.addWidget(widget)
        layout.addLayout(self._buttons())
        layout.addStretch()
        self._show_state()
        self._search(before.base)

    def _choices(self, before):
        form = QFormLayout()
        self.base = QComboBox()
        self.base.setToolTip(_tr("The engine gets an environment of its own from it; it stays as it is itself."))
        browse = QPushButton(_tr("Other…"))
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.base, 1)
        row.addWidget(browse)
        form.addRow(_tr("Python"), row)
        self.cpu, self.gpu = QRadioButton(_tr("CPU")), QRadioButton(_tr("NVIDIA GPU (some gigabytes more to download)"))
        (self.gpu if before.gpu else self.cpu).setChecked(True)
        form.addRow(_tr("Runs on"), _together(self.cpu, self.gpu))
        self.training = QCheckBox(_tr("Training too (with PyTorch, which is large)"))
        self.training.setChecked(before.training)
        form.addRow(_tr("Maps"), self.training)
        self.index, self.offline = QRadioButton(_tr("The package index")), QRadioButton(_tr("A folder of wheels"))
        (self.offline if before.wheels else self.index).setChecked(True)
        self.wheels = QgsFileWidget()
        self.wheels.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.wheels.setFilePath(before.wheels)
        self.wheels.setToolTip(_tr("Made by scripts/wheels.py on a computer that has a network."))
        self.wheels.setEnabled(self.offline.isChecked())
        self.offline.toggled.connect(self.wheels.setEnabled)
        form.addRow(_tr("Comes from"), _together(self.index, self.offline))
        form.addRow("", self.wheels)
        self.torch = QLineEdit(QgsSettings().value("robust_landcover/torch", ""))
        self.torch.setPlaceholderText(TORCH + "cpu")
        box = QgsCollapsibleGroupBox(_tr("Advanced"))
        box.setCollapsed(True)
        inner = QFormLayout(box)
        inner.addRow(_tr("PyTorch's index"), self.torch)
        form.addRow(box)
        return form

    def _buttons(self):
        row = QHBoxLayout()
        self.go = QPushButton()
        self.go.clicked.connect(self.set_up)
        self.stop = QPushButton(_tr("Cancel"))
        self.stop.clicked.connect(self.cancel)
        self.stop.setEnabled(False)
        self.drop = QPushButton(_tr("Remove"))
        self.drop.clicked.connect(self._remove)
        self.copy = QPushButton(_tr("Copy diagnostics"))
        self.copy.setToolTip(_tr("What to paste into a report of a fault: versions, device, last log."))
        self.copy.clicked.connect(self._copy)
        for button in (self.go, self.stop, self.drop, self.copy):
            row.addWidget(button)
        row.addStretch()
        return row

    def _show_state(self):
        own = installed_version(environment_python(environment()))
        self.state.setText(state())
        self.go.setText(
            _tr("Set up the engine")
            if own is None
            else _tr("Set up again")
            if own == version()
            else _tr("Update the engine")
        )
        self.drop.setEnabled(own is not None and self.work is None)

    def _search(self, first):
        self.wanted = first
        self.go.setEnabled(False)
        self.base.clear()
        self.base.addItem(_tr("Looking for Pythons…"))
        self.search = bases(first)
        self.search.ended.connect(self._found)
        self.search.start()

    def _found(self, _good, found):
        self.base.clear()
        for path, facts in found:
            dotted = ".".join(str(part) for part in facts["version"])
            self.base.addItem(f"{path} ({dotted})", path)
        if self.wanted and self.wanted not in [path for path, _facts in found]:
            self.step.setText(_tr("{} is no Python that the engine can be made with.").format(self.wanted))
        if not found:
            self.base.addItem(_tr("none found; install Python 3.11 or newer, or choose one"), "")
        self.go.setEnabled(bool(found) and self.work is None)

    def _browse(self):
        path, _kind = QFileDialog.getOpenFileName(self, _tr("A Python from 3.10"))
        if path:
            self._search(path)

    def choice(self):
        """What is chosen."""
        wheels = self.wheels.filePath() if self.offline.isChecked() else ""
        return Choice(self.base.currentData() or "", self.gpu.isChecked(), self.training.isChecked(), wheels)

    def set_up(self):
        """Starts to set up what is chosen."""
        if self.offline.isChecked() and not os.path.isdir(self.wheels.filePath()):
            self.step.setText(_tr("Choose the folder of wheels."))
            return
        remember(self.choice())
        QgsSettings().setValue("robust_landcover/torch", self.torch.text().strip())
        self._run(lambda: install(self.choice()), _tr("The engine is set up."))

    def _remove(self):
        answer = QMessageBox.question(
            self, _tr("Remove the engine"), _tr("Remove the engine from {}?").format(environment())
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._run(lambda: remove(self.choice().base), _tr("The engine is removed."))

    def _run(self, work, done):
        if RUNNING:
            self.step.setText(_tr("The engine is at work; wait until the map is made, or cancel it."))
            return
        try:
            self.work = work()
        except WorkError as error:
            self.step.setText(str(error))
            return
        self.log = ""
        self.said.clear()
        self.said.setVisible(True)
        self.bar.setVisible(True)
        self.bar.setRange(0, 0)
        self.clock.start()
        for button, on in ((self.go, False), (self.drop, False), (self.stop, True)):
            button.setEnabled(on)
        self.work.began.connect(self._began)
        self.work.said.connect(self._heard)
        self.work.ended.connect(lambda good, found: self._ended(good, done if good else found))
        self.work.start()

    def _began(self, title):
        self.step.setText(f"{title}…")
        self._heard(f"— {title}\n")

    def _heard(self, text):
        self.log += text
        self.said.appendPlainText(text.rstrip("\n"))

    def _ended(self, good, text):
        self.work = None
        self.bar.setRange(0, 1)
        self.bar.setValue(1 if good else 0)
        seconds = self.clock.elapsed() / 1000
        self.step.setText(_tr("{} ({:.0f} s)").format(text, seconds))
        self._heard(text)
        self.stop.setEnabled(False)
        self.go.setEnabled(True)
        self._show_state()
        self.changed.emit()

    def cancel(self):
        """Stops what runs."""
        if self.work is not None:
            self.step.setText(_tr("Cancelling…"))
            self.work.cancel()

    def _copy(self):
        self.copy.setEnabled(False)
        self.report = diagnostics(self.log)
        self.report.ended.connect(self._copied)
        self.report.start()

    def _copied(self, _good, text):
        QApplication.clipboard().setText(text)
        self.copy.setEnabled(True)
        self.said.setVisible(True)
        self.said.setPlainText(text)
        self.step.setText(_tr("Copied; paste it into your report."))


def _together(*widgets):
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch()
    return holder


class EngineWindow(QDialog):
    """The widget in a window of its own, which does not hold QGIS up."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setWindowTitle(_tr("Robust land cover: the engine"))
        self.resize(640, 520)
        self.widget = EngineWidget(self)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.widget)
        layout.addWidget(buttons)


class _Page(QgsOptionsPageWidget):
    """In QGIS's options: leads to the window, which lives on when the options are closed."""

    def __init__(self, parent, show):
        super().__init__(parent)
        button = QPushButton(_tr("Set up the engine…"))
        button.clicked.connect(show)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(state(), wordWrap=True))
        layout.addWidget(button)
        layout.addStretch()

    def apply(self):
        """Nothing is left to do."""


class OptionsPage(QgsOptionsWidgetFactory):
    """The page's place in the options.

    Args:
        show: Opens the window of the engine.
    """

    def __init__(self, show):
        super().__init__()
        self.show = show
        self.setTitle(_tr("Robust land cover"))

    def icon(self):
        """The plugin's."""
        return QIcon(os.path.join(os.path.dirname(__file__), "icon.svg"))

    def createWidget(self, parent):
        """A page, each time the options are opened."""
        return _Page(parent, self.show)


def state():
    """Which engine there is, in words."""
    try:
        interpreter = find_interpreter()
    except EngineNotFoundError as error:
        return error.short
    text = _tr("The engine is ready: version {}, at {}").format(installed_version(interpreter) or "?", interpreter)
    if interpreter == environment_python(environment()):
        return text
    return text + " " + _tr("It was set up elsewhere; what is set up here is used where that is gone.")


def _tr(text):
    return QCoreApplication.translate("EngineWindow", text)
