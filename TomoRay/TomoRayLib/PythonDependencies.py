"""Python packages that Slicer does not bring: found, and installed with the user's consent.

Nothing is installed before the user presses a button that needs it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from slicer.i18n import tr as _

from TomoRayCore.errors import SetupError

REQUIREMENTS_FILE = Path(__file__).resolve().parents[1] / "Resources/TomoRay-requirements.txt"
TORCH = "torch"
TORCH_VERSION = ">=2.10"
TORCH_VERSION_WINDOWS = TORCH_VERSION + ",<2.13"
"""Later builds carry licence files whose paths are too long for Windows."""


def missingPackages(names: Iterable[str]) -> list[str]:
    """Return which of these packages, by import name, cannot be imported; imports none."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def ensurePackages(names: Iterable[str], interactive: bool = False) -> None:
    """Make sure that packages are there.

    Args:
        names: Import names.
        interactive: Ask the user and install what is missing; otherwise only look.

    Raises:
        SetupError: ``PACKAGE_MISSING`` when something is missing and may not be installed,
            ``INSTALL_DECLINED`` or ``INSTALL_FAILED``.
    """
    missing = missingPackages(names)
    if not missing:
        return
    if not interactive:
        raise SetupError(
            "PACKAGE_MISSING",
            f"These Python packages are missing: {', '.join(missing)}.",
            "Press Apply in the TomoRay module once, which offers to install them.",
        )
    if TORCH in missing:
        _installTorch()
    if [name for name in missing if name != TORCH]:
        _installRequirements()
    stillMissing = missingPackages(missing)
    if stillMissing:
        raise SetupError(
            "INSTALL_FAILED",
            f"After the installation these packages are still missing: {', '.join(stillMissing)}.",
            "Restart the application; if that does not help, see docs/troubleshooting.md.",
        )


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise SetupError(
            "PYTORCH_EXTENSION_MISSING",
            _("The extension PyTorch, which installs the package torch, is not installed."),
            _("Install it with the Extensions Manager and restart the application."),
        ) from error
    version = TORCH_VERSION_WINDOWS if sys.platform == "win32" else TORCH_VERSION
    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=version
        )
    except Exception as error:
        # Whatever pip, the network or the driver check raised: the user gets one kind of answer.
        raise _failed(error) from error
    if torch is None:
        raise _declined(TORCH)


def _installRequirements() -> None:
    from slicer import packaging

    requirements = packaging.load_requirements(REQUIREMENTS_FILE)
    try:
        packaging.pip_ensure(requirements, requester="TomoRay")
    except RuntimeError as error:
        raise _declined(str(error)) from error
    except Exception as error:
        raise _failed(error) from error


def _declined(what: str) -> SetupError:
    return SetupError(
        "INSTALL_DECLINED",
        f"Not installed: {what}.",
        "Press the button again and agree, or install the packages by hand.",
    )


def _failed(error: Exception) -> SetupError:
    return SetupError(
        "INSTALL_FAILED",
        f"The installation failed: {error}.",
        "Check the network connection and the application's log, then try again.",
    )
