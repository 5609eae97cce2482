"""A small CT without symmetry, and views that show which convention plastimatch follows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.volume import Volume

SHAPE = (13, 16, 15)
SPACING_MM = (1.3, 2.1, 3.7)
ORIGIN_LPS = (-31.3, 117.9, -80.25)
ISOCENTRE = "-21.1 131.35 -54.05"

VIEWS = {
    "frontal": f"--nrm '0 -1 0' --vup '0 0 1' -r '6 8' -z '40 90' -o '{ISOCENTRE}'",
    "lateral": f"--nrm '1 0 0' --sad 541 --sid 949 -r '6 8' -z '50 110' -o '{ISOCENTRE}'",
    "off_centre": f"--nrm '0 -1 0' -c '3.2 1.7' -r '6 8' -z '40 90' -o '{ISOCENTRE}'",
    "tilted": f"--nrm '3 -8 2' --vup '1 1 10' --sad 700.3 -r '6 8' -z '50 90' -o '{ISOCENTRE}'",
    "near": f"--nrm '-7 -6 5' --vup '3 1 9' --sad 30 --sid 75 -r '6 8' -z '90 110' "
    f"-o '{ISOCENTRE}'",
}
"""Options of ``plastimatch drr``: eight rows of six pixels each."""


def plastimatch_ct() -> Volume:
    """Return HU from -950 to 1450 up to the border, some of them air by plastimatch's rule."""
    k, j, i = np.indices(SHAPE)
    hu = (7 * i + 13 * j + 29 * k + i * j * k) % 97 * 25 - 950
    return Volume(hu.astype(np.int16), compose_affine(np.eye(3), SPACING_MM, ORIGIN_LPS))


def run_plastimatch(volume: Volume, options: list[str], folder: Path) -> np.ndarray:
    """Return plastimatch's raw pixels of one view, (R, C) float32."""
    write_volume(volume, folder / "ct.mha")
    columns, rows = (int(n) for n in options[options.index("-r") + 1].split())
    program = shutil.which("plastimatch") or "plastimatch"
    command = [program, "drr", "-i", "exact", "-t", "raw", *options, "-I", "ct.mha", "-O", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return np.fromfile(folder / "out0000.raw", "<f4").reshape(rows, columns)
