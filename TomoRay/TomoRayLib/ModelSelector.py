"""The list of models: those that come with TomoRay, and files that the user chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _

from TomoRayLib.ModelCatalogue import shippedModels, summaryOf

DEFAULT = ""


class ModelSelector:
    """Keeps a combo box in step with a model name; empty means the default model.

    The list is known at run time only, so the parameter node cannot bind it by itself.
    """

    def __init__(self, comboBox, onChosen: Callable[[str], None]) -> None:
        self._comboBox, self._onChosen = comboBox, onChosen
        self._isFilling = False
        self._comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)
        self.refresh()

    def refresh(self) -> None:
        """Read the list of models again; keep the selection."""
        selected = self.current()
        self._isFilling = True
        self._comboBox.clear()
        for index, entry in enumerate(_entries()):
            # The first is the default, which a scene stores as "none named".
            self._add(entry.name, DEFAULT if index == 0 else entry.name, entry.summary)
        if self._comboBox.count == 0:
            self._add(_("no model installed"), DEFAULT, _("Choose a model file."))
        self._isFilling = False
        self.select(selected)

    def current(self) -> str:
        """Return the chosen model: empty for the default, a name, or a file's path."""
        index = self._comboBox.currentIndex
        return self._comboBox.itemData(index) if index >= 0 else DEFAULT

    def select(self, model: str) -> None:
        """Choose a model; one that is not in the list is added, whether or not it exists."""
        self._isFilling = True
        index = self._comboBox.findData(model)
        if index < 0:
            path = Path(model)
            self._add(path.stem, model, summaryOf(path) if path.is_file() else model)
            index = self._comboBox.count - 1
        if index != self._comboBox.currentIndex:
            self._comboBox.setCurrentIndex(index)
        self._comboBox.toolTip = self._comboBox.itemData(index, qt.Qt.ToolTipRole)
        self._isFilling = False

    def _add(self, text: str, model: str, summary: str) -> None:
        self._comboBox.addItem(text, model)
        self._comboBox.setItemData(self._comboBox.count - 1, summary, qt.Qt.ToolTipRole)

    def _onIndexChanged(self, _index) -> None:
        if not self._isFilling:
            self._onChosen(self.current())


def _entries():
    try:
        return shippedModels()
    except ModuleNotFoundError:
        # The package that reads model files is installed on Apply; files come first.
        return []
