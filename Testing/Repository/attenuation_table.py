"""Write TomoRayCore/physics/attenuation.csv from the package `xraydb`.

python Testing/Repository/attenuation_table.py --write   needs `pip install xraydb`

xraydb (public domain) carries the cross sections of Elam, Ravel and Sieber, Radiat. Phys. Chem.
63, 121 (2002). Mixtures follow the compositions of NIST XAAMDI, table 2 (Hubbell and Seltzer).
The engine reads the table only; xraydb is needed here alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

TABLE = Path(__file__).resolve().parents[2] / "TomoRay/TomoRayCore/physics/attenuation.csv"
ENERGIES_KEV = np.arange(10.0, 151.0)
ELECTRON_REST_KEV = 510.999

COMPOSITIONS = {
    "water": {"H": 0.111898, "O": 0.888102},
    "soft_tissue": {
        "H": 0.102, "C": 0.143, "N": 0.034, "O": 0.708, "Na": 0.002,
        "P": 0.003, "S": 0.003, "Cl": 0.002, "K": 0.003,
    },
    "cortical_bone": {
        "H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001,
        "Mg": 0.002, "P": 0.103, "S": 0.003, "Ca": 0.225,
    },
    "air": {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827},
    "al": {"Al": 1.0},
    "cu": {"Cu": 1.0},
    "w": {"W": 1.0},
    "csi": {"Cs": 0.511549, "I": 0.488451},
}  # fmt: skip
"""Mass fractions; the two tissues are ICRU-44's."""

ENERGY_TRANSFER = ("air", "csi")
"""Also given as the mass energy-transfer coefficient, in a column `<name>_transfer`."""

HEADER = """\
# Mass attenuation coefficients mu/rho with coherent scattering, cm2/g, at photon energies in keV.
# Columns *_transfer: mass energy-transfer coefficients, cm2/g: photoelectric effect plus incoherent
# scattering times the mean share that the Klein-Nishina electron takes; all fluorescence is
# absorbed on the spot. For air it stands for mu_en/rho (bremsstrahlung is below 0.2 % here).
# Source: Elam, Ravel and Sieber, Radiat. Phys. Chem. 63, 121 (2002), as in xraydb {version}
# (public domain); compositions from NIST XAAMDI (Hubbell and Seltzer), tissues of ICRU-44.
# Written by Testing/Repository/attenuation_table.py.
"""


def coefficients(composition: dict[str, float], kind: str) -> np.ndarray:
    """Return mu/rho of a mixture at ENERGIES_KEV, cm2/g."""
    import xraydb

    energies_ev = ENERGIES_KEV * 1000
    shares = [f * xraydb.mu_elam(e, energies_ev, kind=kind) for e, f in composition.items()]
    return np.sum(shares, axis=0)


def klein_nishina_transfer(energies_kev: np.ndarray) -> np.ndarray:
    """Return the mean share of a photon's energy that a free electron takes (Evans 1955)."""
    a = energies_kev / ELECTRON_REST_KEV
    log = np.log(1 + 2 * a)
    collision = 2 * (
        (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
        + log / (2 * a)
        - (1 + 3 * a) / (1 + 2 * a) ** 2
    )
    scattered = (
        log / a**3
        + 2 * (1 + a) * (2 * a**2 - 2 * a - 1) / (a**2 * (1 + 2 * a) ** 2)
        + 8 * a**2 / (3 * (1 + 2 * a) ** 3)
    )
    return 1 - scattered / collision


def table() -> str:
    """Return the whole file."""
    import xraydb

    columns = {name: coefficients(mix, "total") for name, mix in COMPOSITIONS.items()}
    for name in ENERGY_TRANSFER:
        mix = COMPOSITIONS[name]
        share = klein_nishina_transfer(ENERGIES_KEV)
        transfer = coefficients(mix, "photo") + share * coefficients(mix, "incoh")
        columns[f"{name}_transfer"] = transfer
    rows = zip(ENERGIES_KEV, *columns.values(), strict=True)
    lines = [",".join(["energy_kev", *columns])]
    lines += [",".join([f"{e:g}", *(f"{v:.5g}" for v in values)]) for e, *values in rows]
    return HEADER.format(version=xraydb.__version__) + "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Write the table, or print it."""
    parser = argparse.ArgumentParser(description="Write the table of attenuation coefficients.")
    parser.add_argument("--write", action="store_true", help="into the package")
    if parser.parse_args(argv).write:
        TABLE.write_text(table(), encoding="utf-8")
    else:
        print(table(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
