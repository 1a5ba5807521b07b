"""A row of the form: a sensor, the layer that serves it, its bands, and how sure that is."""

import os

from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtWidgets import QComboBox, QGridLayout, QLabel, QWidget

from .assignment import OPEN, is_open, parts, quoted
from .process import translated

COMBOS = 8
"""Bands that get a list each; more are written as numbers."""

ACROSS = 4
"""Lists of bands side by side."""


class Row:
    """A sensor: the layer that serves it, its bands, and how sure that is."""

    def __init__(self, sensor, layers, form):
        self.name, self.sensor, self.layers, self.form = sensor["name"], sensor, layers, form
        self.title = QLabel(sensor["name"])
        self.title.setToolTip(", ".join(sensor["bands"]))
        self.layer = QComboBox()
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer.setMinimumContentsLength(14)
        if sensor["state"] == "open":
            self.layer.addItem(_tr("— choose —"), f"{self.name}={OPEN}")
        self.layer.addItem(_tr("— missing —"), "")
        self.reasons = {}
        for one in sensor["candidates"]:
            names = " + ".join(dict.fromkeys(part["name"] for part in one["layers"]))
            self.layer.addItem(names, one["assignment"])
            self.reasons[one["assignment"]] = one
        found = {part["name"] for one in sensor["candidates"] for part in one["layers"] if len(one["layers"]) == 1}
        for name in layers:
            if name not in found:
                self.layer.addItem(name, f"{self.name}={quoted(name)}")
        self.layer.setCurrentIndex(1 if sensor["state"] == "sure" else 0)
        self.layer.currentIndexChanged.connect(self._chosen)
        self.bands = QWidget()
        QGridLayout(self.bands).setContentsMargins(0, 0, 0, 4)
        self.badge = QLabel()
        self.badge.setMinimumWidth(self.badge.fontMetrics().horizontalAdvance(_tr("? to be confirmed")))
        self.chosen_bands = []
        self.assignment = ""
        """The part of the assignment; empty where the sensor is missing."""
        self.usable = self.short = False
        self._show()

    def place(self, grid, row):
        """Puts the widgets into a grid."""
        for column, widget in enumerate((self.title, self.layer, self.badge)):
            grid.addWidget(widget, 2 * row, column)
        grid.addWidget(self.bands, 2 * row + 1, 1, 1, 2)
        grid.setColumnStretch(1, 1)

    def take(self, assignment):
        """What an assignment's text says of the sensor."""
        self.layer.blockSignals(True)
        place = self.layer.findData(assignment)
        if place < 0:
            place = self._like(assignment)
        if place < 0:
            self.layer.addItem(assignment.partition("=")[2], assignment)
            place = self.layer.count() - 1
        self.layer.setCurrentIndex(place)
        self.layer.blockSignals(False)
        self._show(assignment)

    def _like(self, assignment):
        """The item of the same layer with other bands."""
        if len(parts(assignment)) == 1:
            for place in range(1, self.layer.count()):
                data = self.layer.itemData(place)
                if len(parts(data)) == 1 and _without_bands(data) == _without_bands(assignment):
                    return place
        return -1

    def _chosen(self):
        self._show()
        self.form.changed_by_hand()

    def _show(self, assignment=None):
        """Bands and badge of what is chosen."""
        self.assignment = self.layer.currentData() if assignment is None else assignment
        box = self.bands.layout()
        for old in self.chosen_bands:
            old.setVisible(False)
            box.removeWidget(old)
            old.deleteLater()
        self.chosen_bands = []
        plain = _without_bands(self.assignment)
        layer = self._chosen_layer()
        wanted = self.sensor["bands"]
        self.short = layer is not None and layer.bandCount() < len(wanted)
        if layer is not None and not self.short and len(wanted) <= COMBOS:
            given = self.assignment[len(plain) + 1 :].split(",")
            for number, band in enumerate(wanted):
                combo = self._combo(layer, band, given[number] if number < len(given) else "", number)
                box.addWidget(combo, number // ACROSS, number % ACROSS)
            self.assignment = self._with_bands()
        self.bands.setVisible(bool(self.chosen_bands))
        self._show_badge()

    def _chosen_layer(self):
        """The one layer that serves; None where there is none or several, or it has been removed."""
        layer = self.layers.get(self.layer.currentText())
        if layer is None or sip.isdeleted(layer) or len(parts(self.assignment)) != 1:
            return None
        return layer

    def _is_gone(self):
        """Whether what is written names no layer and no file."""
        for part in parts(self.assignment):
            name = _without_bands(part).partition("=")[2].strip()
            if name.startswith('"'):
                name = name[1:-1].replace('""', '"')
            if name not in self.layers and not os.path.exists(name):
                return True
        return False

    def _with_bands(self):
        return f"{_without_bands(self.assignment)}@{','.join(combo.currentData() for combo in self.chosen_bands)}"

    def _combo(self, layer, band, given, number):
        combo = QComboBox()
        combo.setToolTip(_tr("The layer's band that is {}").format(band))
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(5)
        for place in range(1, layer.bandCount() + 1):
            combo.addItem(f"{place}: {layer.bandName(place).partition(': ')[2]}".rstrip(": "), str(place))
        named = combo.findText(band, Qt.MatchFlag.MatchContains)
        place = combo.findData(given)
        combo.setCurrentIndex(place if place >= 0 else named if named >= 0 else number)
        combo.currentIndexChanged.connect(self._band_chosen)
        self.chosen_bands.append(combo)
        return combo

    def _band_chosen(self):
        self.assignment = self._with_bands()
        self._show_badge()
        self.form.changed_by_hand()

    def _show_badge(self):
        found = self.reasons.get(self.assignment)
        self.usable = bool(self.assignment) and not is_open(self.assignment)
        if is_open(self.assignment):
            text, tip = _tr("? to be confirmed"), _tr("Choose the layer that it is, or “missing”.")
        elif not self.assignment:
            text, tip = _tr("○ missing"), _tr("Looked for: {}").format(translated(self.sensor["wanted"]))
        elif found is not None:
            text = _tr("✔ sure") if self.sensor["state"] == "sure" else _tr("✔ confirmed")
            tip = "\n".join([*map(translated, found["reasons"]), *found["warnings"]])
        elif self.short:
            text, tip = _tr("✕ too few bands"), _tr("Looked for: {}").format(translated(self.sensor["wanted"]))
            self.usable = False
        elif self._is_gone():
            text, tip = _tr("✕ not there"), _tr("There is no such layer; choose another one.")
            self.usable = False
        else:
            text, tip = _tr("✎ by hand"), _tr("Chosen by hand")
        self.badge.setText(text)
        for widget in (self.badge, self.layer):
            widget.setToolTip(tip)


def _without_bands(assignment):
    """A part of an assignment without what follows its layer."""
    before, at, after = assignment.rpartition("@")
    return before if at and '"' not in after else assignment


def _tr(text):
    return QCoreApplication.translate("SensorRow", text)
