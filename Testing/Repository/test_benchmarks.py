"""The benchmark's bookkeeping; how long things take is no test."""

from __future__ import annotations

import numpy as np
import pytest

from Testing.benchmarks import accuracy, measure, rows, tables
from Testing.benchmarks.contenders import contenders
from Testing.benchmarks.scene import DETECTOR_MM, bodies, facing, paint_head, turned
from TomoRayCore.drr.plan import is_separable


def test_every_row_compares_contenders_that_exist():
    known = contenders(None, 128)
    assert {name for row in rows.ROWS for name in (row.ours, row.peer)} == set(known)


def test_every_row_can_be_asked_for_by_name():
    assert rows.selected(None) == rows.NAMES
    assert set(rows.MEMORY) < set(rows.selected(["memory"]))
    assert rows.selected(["no such row"]) == ()


def test_the_head_has_39_bodies_in_air():
    head = paint_head(size=32, spacing_mm=8.0, samples=2)
    assert len(bodies()) == 39
    assert head.array_hu[0].max() == head.array_hu[:, :, -1].max() == -1000
    assert 900 < head.array_hu.max() < 2600


@pytest.mark.parametrize("size", [128, 512])
def test_all_contenders_see_the_same_detector(size):
    grid = paint_head(size=8, spacing_mm=32.0, samples=1).grid
    for geometry, flat in ((facing(size), True), (turned(size), False)):
        for view in geometry.views:
            assert is_separable(grid, view) == flat
            assert view.size[0] * view.pixel_spacing_mm[0] == pytest.approx(DETECTOR_MM)
            assert view.sad_mm((0, 0, 0)) == pytest.approx(1000)


def test_every_nth_pixel_is_compared_where_it_stands():
    view = facing(512).views[1]
    thinned = accuracy._thinned(view, 4)
    assert np.allclose(thinned.pixel_centres_lps(), view.pixel_centres_lps()[::4, ::4], atol=1e-9)


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds():
    times = {"ours": {0: 10.0, 1: 10.0, 2: 20.0}, "peer": {0: 100.0, 2: 200.0}}
    result = measure.compared(times, "ours", "peer")
    assert (result.ours_ms, result.peer_ms) == (10, 150)
    assert result.ratio == 15
    assert result.spread == 0


def test_slow_contenders_take_part_in_fewer_rounds():
    calls = []
    contender = measure.Contender(lambda: calls.append(1), every=2)
    times = measure.interleaved({"slow": contender}, rounds=5)
    assert sorted(times["slow"]) == [0, 2, 4]
    assert len(calls) == 4


def test_tables_say_what_is_missed():
    run = {"name": "run", "date": "d", "commit": "c", "machine": "m", "versions": {"x": "1"}}
    row = {"name": "one view", "peer": "p", "size": 128, "ours_ms": 10.0, "peer_ms": 1234.0}
    missed = {**row, "ratio": 123.4, "spread": 0.05, "target": 200, "met": False}
    value = {"name": "memory", "size": 128, "value": 3.9, "unit": "MB", "target": 60, "met": True}
    text = tables.markdown([run, missed, value])
    assert "| one view | p | 128² | 10 | 1 234 | 123 | 5% | 200 | **no** |" in text
    assert "| memory | 128² | 3.9 MB | 60 | yes |" in text
