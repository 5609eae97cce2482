"""Reading the module's packages again from disk."""

import sys

PACKAGES = ("TomoRayLib", "TomoRayCore")


def forgetPackages() -> list[str]:
    """Drop the module's packages from the import system, so that the next import reads them.

    Returns:
        The names of what was dropped.
    """
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    for name in names:
        del sys.modules[name]
    return names
