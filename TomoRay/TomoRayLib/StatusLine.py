"""The line on top of the panel that says what to do next, or what went wrong."""

from __future__ import annotations

from html import escape

import qt

from TomoRayCore.errors import TomoRayError

ICON_PIXELS = 16


class StatusLine:
    """Shows one message, with an icon for warnings and errors; replaces message boxes."""

    def __init__(self, label, iconLabel) -> None:
        self._label, self._iconLabel = label, iconLabel
        self.kind = "info"

    @property
    def text(self) -> str:
        """What is shown, with mark-up."""
        return self._label.text

    def showInfo(self, text: str) -> None:
        """Show what is going on or what to do next."""
        self._show("info", escape(text), None)

    def showWarnings(self, text: str, warnings: list[str]) -> None:
        """Show a message and the warnings that belong to it."""
        if not warnings:
            self.showInfo(text)
            return
        items = "".join(f"<br/>• {escape(warning)}" for warning in warnings)
        self._show("warning", escape(text) + items, qt.QStyle.SP_MessageBoxWarning)

    def showError(self, error: TomoRayError) -> None:
        """Show what is wrong, the way out, and the code that scripts and manuals know."""
        html = f"<b>{escape(error.message)}</b> {escape(error.remedy)} [{escape(error.code)}]"
        self._show("error", html, qt.QStyle.SP_MessageBoxCritical)

    def _show(self, kind: str, html: str, icon) -> None:
        self.kind = kind
        self._label.text = html
        self._iconLabel.visible = icon is not None
        if icon is not None:
            pixmap = self._label.style().standardIcon(icon).pixmap(ICON_PIXELS, ICON_PIXELS)
            self._iconLabel.setPixmap(pixmap)
