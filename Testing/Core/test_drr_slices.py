"""Summing slices and spreading images: numpy and the kernel alike, and transposes of each other."""

from __future__ import annotations

from pathlib import Path

import drr_engines
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.drr import build, kernel
from TomoRayCore.drr.attenuation import PLASTIMATCH, WATER_60KEV
from TomoRayCore.drr.slices import spread_slices, sum_slices
from TomoRayCore.errors import SetupError

SHAPES = [(21, 17, 23, 9, 31), (5, 40, 13, 64, 7), (19, 6, 30, 80, 90), (1, 1, 1, 5, 4)]
"""Slices, voxel rows and columns, image rows and columns; more image rows than voxel rows too."""
LAYOUTS = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)]


def stored_as(layout: tuple[int, ...], array: np.ndarray) -> np.ndarray:
    """Return the same numbers with another order in memory."""
    return np.ascontiguousarray(array.transpose(layout)).transpose(np.argsort(layout))


def task(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a stack and positions that also lie outside of it, growing and shrinking."""
    slices, height, width, rows, columns = shape
    random = np.random.default_rng(seed)
    stack = random.random((slices, height, width)).astype(np.float32)
    positions = []
    for size, count in ((height, rows), (width, columns)):
        ends = random.uniform(-2, size + 1, (2, slices))
        positions.append(np.linspace(ends[0], ends[1], count, axis=1))
    return stack, *positions


def plain_sum(stack: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sum by the definition: weights max(0, 1 - |distance|), float64."""
    total = np.zeros((rows.shape[1], columns.shape[1]))
    for slice_, at, along in zip(stack.astype(np.float64), rows, columns, strict=True):
        by_row = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(slice_.shape[0])))
        by_column = np.maximum(0, 1 - np.abs(along[:, None] - np.arange(slice_.shape[1])))
        total += by_row @ slice_ @ by_column.T
    return total


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_slices_are_interpolated_linearly_and_added_up(
    engine: str, shape: tuple[int, ...], layout: tuple[int, ...]
) -> None:
    stack, rows, columns = task(shape)
    total = np.zeros((rows.shape[1], columns.shape[1]), np.float32)
    sum_slices(stored_as(layout, stack), rows, columns, total)
    np.testing.assert_allclose(total, plain_sum(stack, rows, columns), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_spreading_is_the_transpose_of_summing(
    engine: str, shape: tuple[int, ...], layout: tuple[int, ...]
) -> None:
    stack, rows, columns = task(shape)
    image = np.random.default_rng(1).random((rows.shape[1], columns.shape[1])).astype(np.float32)
    total, spread = np.zeros_like(image), stored_as(layout, np.zeros_like(stack))
    sum_slices(stack, rows, columns, total)
    spread_slices(image, rows, columns, spread)
    forward = np.vdot(total.astype(np.float64), image)
    assert np.vdot(spread.astype(np.float64), stack) == pytest.approx(forward, rel=1e-6)


def test_both_add_to_what_is_there(engine: str) -> None:
    stack, rows, columns = task(SHAPES[0])
    image = np.ones((rows.shape[1], columns.shape[1]), np.float32)
    alone, spread = np.zeros_like(image), np.zeros_like(stack)
    sum_slices(stack, rows, columns, alone)
    spread_slices(image, rows, columns, spread)
    on_top, onto = np.full_like(image, 3), np.full_like(stack, 3)
    sum_slices(stack, rows, columns, on_top)
    spread_slices(image, rows, columns, onto)
    np.testing.assert_allclose(on_top, alone + 3, rtol=1e-6)
    np.testing.assert_allclose(onto, spread + 3, rtol=1e-6)


def test_a_stack_in_parts_sums_to_the_whole(engine: str) -> None:
    stack, rows, columns = task(SHAPES[0])
    whole, parts = (np.zeros((rows.shape[1], columns.shape[1]), np.float32) for _ in range(2))
    sum_slices(stack, rows, columns, whole)
    for row in (0, 5, 6):
        stop = {0: 5, 5: 6, 6: 17}[row]
        for column, end in ((0, 11), (11, 23)):
            part = stack[:, row:stop, column:end]
            sum_slices(part, rows, columns, parts, (row, column))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_a_view_with_steps_and_a_mirrored_one_are_read_in_place(engine: str) -> None:
    stack, rows, columns = task((10, 17, 23, 9, 31))
    wide = np.zeros((20, 17, 46), np.float32)
    wide[::2, ::-1, ::2] = stack
    total = np.zeros((9, 31), np.float32)
    sum_slices(wide[::2, ::-1, ::2], rows, columns, total)
    np.testing.assert_allclose(total, plain_sum(stack, rows, columns), rtol=1e-5, atol=1e-5)


def test_nothing_lies_beyond_the_border_nor_at_positions_that_are_no_number(engine: str) -> None:
    stack = np.ones((2, 4, 5), np.float32)
    rows = np.array([[-1.0, 4.0, -1e9, 1e9, np.nan], [np.nan, np.inf, -np.inf, -1.0, 4.0]])
    total = np.zeros((5, 3), np.float32)
    sum_slices(stack, rows, np.full((2, 3), 2.0), total)
    assert not total.any()
    edges = np.zeros((2, 1), np.float32)
    sum_slices(stack, np.tile([-0.5, 3.75], (2, 1)), np.full((2, 1), 2.0), edges)
    np.testing.assert_allclose(edges[:, 0], [2 * 0.5, 2 * 0.25])


def test_float64_is_calculated_in_float64(engine: str) -> None:
    stack, rows, columns = task(SHAPES[1])
    total = np.zeros((rows.shape[1], columns.shape[1]))
    sum_slices(stack.astype(np.float64), rows, columns, total)
    np.testing.assert_allclose(total, plain_sum(stack, rows, columns), rtol=1e-13, atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 24)] * 5), st.integers(0, 2**31), st.permutations(range(3)))
def test_kernel_and_numpy_agree_on_any_shape(
    kernel_folder: Path, shape: tuple[int, ...], seed: int, layout: list[int]
) -> None:
    stack, rows, columns = task(shape, seed)
    stack = stored_as(tuple(layout), stack)
    image = np.random.default_rng(seed).random(shape[3:]).astype(np.float32)
    results = []
    for engine in drr_engines.ENGINES:
        with pytest.MonkeyPatch.context() as patch:
            drr_engines.force(engine, patch, kernel_folder)
            total, spread = np.zeros_like(image), np.zeros_like(stack)
            sum_slices(stack, rows, columns, total)
            spread_slices(image, rows, columns, spread)
            results.append((total, spread))
    for numpy_way, kernel_way in zip(*results, strict=True):
        np.testing.assert_allclose(kernel_way, numpy_way, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("rule", [WATER_60KEV, PLASTIMATCH])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_kernel_turns_hu_into_the_rules_mu(
    monkeypatch: pytest.MonkeyPatch, kernel_folder: Path, dtype: type, rule: object
) -> None:
    drr_engines.force("kernel", monkeypatch, kernel_folder)
    hu = np.random.default_rng(2).integers(-2000, 4000, (7, 11, 29)).astype(dtype)
    hu[0, 0, :3] = -1000, -800, -799
    part = hu[1:6, ::2, 3:]
    for array in (hu, part):
        mu = np.full(array.shape, np.nan, np.float32)
        assert kernel.convert(array, rule, mu)
        np.testing.assert_allclose(mu, rule.mu_per_mm(array), rtol=1e-6, atol=3e-9)
    assert not kernel.convert(hu[:, :, ::2], rule, np.empty((7, 11, 15), np.float32))


def test_a_stale_a_broken_and_a_missing_library_count_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(kernel.OFF, raising=False)
    monkeypatch.setattr(kernel, "LIBRARY", tmp_path / "missing.so")
    assert not kernel.available()
    assert kernel.state() == "numpy"
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(kernel, "LIBRARY", broken)
    assert not kernel.available()
    assert "stale or broken" in kernel.state()
    if build.find_compiler() is not None:
        stale = build.build(tmp_path / "stale.so")
        monkeypatch.setattr(kernel, "source_digest", lambda: "another kernel.c")
        monkeypatch.setattr(kernel, "LIBRARY", stale)
        assert not kernel.available()


def test_the_kernel_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, kernel_folder: Path
) -> None:
    drr_engines.force("kernel", monkeypatch, kernel_folder)
    assert kernel.state() == "compiled kernel"
    monkeypatch.setenv(kernel.OFF, "1")
    assert not kernel.available()
    assert kernel.OFF in kernel.state()


def test_a_compiler_that_fails_leaves_no_file_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setattr(build, "COMPILERS", ())
    with pytest.raises(SetupError) as caught:
        build.build(tmp_path / "kernel.so")
    assert caught.value.code == "KERNEL_NOT_BUILT"
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("CC")
    assert build.main() == 3
    assert "NO_COMPILER" in capsys.readouterr().err
