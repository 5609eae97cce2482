"""The committed table is what its script writes."""

import pytest

from Testing.Repository import attenuation_table


def test_the_table_is_what_its_script_writes():
    pytest.importorskip("xraydb")
    committed = attenuation_table.TABLE.read_text(encoding="utf-8").splitlines()
    written = attenuation_table.table().splitlines()
    versions = [line for line in committed if "xraydb" in line]
    assert len(versions) == 1
    assert [line for line in committed if "xraydb" not in line] == [
        line for line in written if "xraydb" not in line
    ]


def test_a_free_electron_takes_more_from_a_harder_photon():
    # Mean share of the recoil electron, Klein and Nishina: 13.8 % at 100 keV (Attix, table D.1).
    share = attenuation_table.klein_nishina_transfer(attenuation_table.ENERGIES_KEV)
    assert share[90] == pytest.approx(0.138, abs=0.001)
    assert (share[1:] > share[:-1]).all()
