"""Device code of ``triton_rays``: one program follows a tile of one view's rays slice by slice.

Imported only where Triton is installed. Every kernel takes, for each of the B*V images, a row of
``table``: offset of its volume, the volume's strides along slice, row and column axis, its
numbers of slices, rows and columns, and which set of lines and limits its rays have. ``lines``
(L, 4, R*C) and ``limits`` (L, 2, R*C) are those of ``torch_pose.RayLines``.

These kernels compile for compute capability 8.0 and 9.0, and were run in Triton's interpreter;
they have not yet run on a GPU.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _tile_of_rays(rows, columns, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr):
    """Return the rays' numbers and whether they exist; a compact tile reads fewer cache lines."""
    tile = tl.program_id(0)
    across = (columns + TILE_COLUMNS - 1) // TILE_COLUMNS
    place = tl.arange(0, TILE_ROWS * TILE_COLUMNS)
    row = (tile // across) * TILE_ROWS + place // TILE_COLUMNS
    column = (tile % across) * TILE_COLUMNS + place % TILE_COLUMNS
    return row * columns + column, (row < rows) & (column < columns)


@triton.jit
def _shape_of(table, image):
    """Return strides along slice, row and column, and the three sizes."""
    entry = table + image * 8
    return (
        tl.load(entry + 1).to(tl.int32),
        tl.load(entry + 2).to(tl.int32),
        tl.load(entry + 3).to(tl.int32),
        tl.load(entry + 4).to(tl.int32),
        tl.load(entry + 5).to(tl.int32),
        tl.load(entry + 6).to(tl.int32),
    )


@triton.jit
def _lines_of(lines, limits, table, image, ray, exists, rays):
    """Return the four numbers of each line and the first and last slice it may meet."""
    number = tl.load(table + image * 8 + 7)
    line = lines + number * 4 * rays + ray
    limit = limits + number * 2 * rays + ray
    return (
        tl.load(line, mask=exists, other=0.0),
        tl.load(line + rays, mask=exists, other=0.0),
        tl.load(line + 2 * rays, mask=exists, other=0.0),
        tl.load(line + 3 * rays, mask=exists, other=0.0),
        tl.load(limit, mask=exists, other=1 << 30),
        tl.load(limit + rays, mask=exists, other=-1),
    )


@triton.jit
def _share_of(first, last):
    """Return this program's range of slices: the tile's slices are dealt to axis 2 of the grid."""
    begin = tl.min(first, axis=0)
    count = tl.maximum(tl.max(last, axis=0) + 1 - begin, 0)
    share = (count + tl.num_programs(2) - 1) // tl.num_programs(2)
    low = begin + tl.program_id(2) * share
    return low, tl.minimum(low + share, begin + count)


@triton.jit
def _neighbours(row, column, met, stride_row, stride_column, height, width):
    """Return, for bilinear interpolation, the upper left neighbour's offset, the fractions
    beyond it, and which of the four neighbours are inside the slice."""
    top, left = tl.floor(row), tl.floor(column)
    down, right = row - top, column - left
    i, j = top.to(tl.int32), left.to(tl.int32)
    upper, lower = met & (i >= 0) & (i < height), met & (i >= -1) & (i < height - 1)
    at_left, at_right = (j >= 0) & (j < width), (j >= -1) & (j < width - 1)
    offset = i * stride_row + j * stride_column
    return (
        offset,
        down,
        right,
        upper & at_left,
        upper & at_right,
        lower & at_left,
        lower & at_right,
    )


@triton.jit
def forward_kernel(
    volume,
    table,
    lines,
    limits,
    sums,
    rows,
    columns,
    images,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
):
    """Write (parts, images, R*C) sums of bilinear samples; the parts add up to the projection."""
    image, part = tl.program_id(1), tl.program_id(2)
    rays = rows * columns
    ray, exists = _tile_of_rays(rows, columns, TILE_ROWS, TILE_COLUMNS)
    stride, stride_row, stride_column, slices, height, width = _shape_of(table, image)
    row, column, row_step, column_step, first, last = _lines_of(
        lines, limits, table, image, ray, exists, rays
    )
    start = volume + tl.load(table + image * 8)
    middle = (slices - 1) * 0.5
    low, high = _share_of(first, last)
    total = row * 0
    for number in range(low, high):
        step = (number - middle).to(row.dtype)
        offset, down, right, has_a, has_b, has_c, has_d = _neighbours(
            row + step * row_step,
            column + step * column_step,
            (number >= first) & (number <= last),
            stride_row,
            stride_column,
            height,
            width,
        )
        place = start + number * stride + offset
        a = tl.load(place, mask=has_a, other=0.0).to(row.dtype)
        b = tl.load(place + stride_column, mask=has_b, other=0.0).to(row.dtype)
        c = tl.load(place + stride_row, mask=has_c, other=0.0).to(row.dtype)
        d = tl.load(place + stride_row + stride_column, mask=has_d, other=0.0).to(row.dtype)
        above, below = a + right * (b - a), c + right * (d - c)
        total += above + down * (below - above)
    where = (part * images + image).to(tl.int64) * rays + ray
    tl.store(sums + where, total, mask=exists)


@triton.jit
def adjoint_kernel(
    volume,
    table,
    lines,
    limits,
    sums,
    rows,
    columns,
    images,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
):
    """Add each ray's number in ``sums`` (images, R*C) to the voxels that ``forward_kernel`` read.

    Atomic additions: their order, and with it the last digits, differ from run to run.
    """
    image = tl.program_id(1)
    rays = rows * columns
    ray, exists = _tile_of_rays(rows, columns, TILE_ROWS, TILE_COLUMNS)
    stride, stride_row, stride_column, slices, height, width = _shape_of(table, image)
    row, column, row_step, column_step, first, last = _lines_of(
        lines, limits, table, image, ray, exists, rays
    )
    start = volume + tl.load(table + image * 8)
    middle = (slices - 1) * 0.5
    low, high = _share_of(first, last)
    value = tl.load(sums + image.to(tl.int64) * rays + ray, mask=exists, other=0.0)
    for number in range(low, high):
        step = (number - middle).to(row.dtype)
        offset, down, right, has_a, has_b, has_c, has_d = _neighbours(
            row + step * row_step,
            column + step * column_step,
            (number >= first) & (number <= last),
            stride_row,
            stride_column,
            height,
            width,
        )
        place = start + number * stride + offset
        below = value * down
        above = value - below
        tl.atomic_add(place, above - above * right, mask=has_a, sem="relaxed")
        tl.atomic_add(place + stride_column, above * right, mask=has_b, sem="relaxed")
        tl.atomic_add(place + stride_row, below - below * right, mask=has_c, sem="relaxed")
        tl.atomic_add(place + stride_row + stride_column, below * right, mask=has_d, sem="relaxed")


@triton.jit
def line_gradient_kernel(
    volume,
    table,
    lines,
    limits,
    gradients,
    rows,
    columns,
    images,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
):
    """Write (parts, images, 4, R*C): the sums' derivatives by the four numbers of each line."""
    image, part = tl.program_id(1), tl.program_id(2)
    rays = rows * columns
    ray, exists = _tile_of_rays(rows, columns, TILE_ROWS, TILE_COLUMNS)
    stride, stride_row, stride_column, slices, height, width = _shape_of(table, image)
    row, column, row_step, column_step, first, last = _lines_of(
        lines, limits, table, image, ray, exists, rays
    )
    start = volume + tl.load(table + image * 8)
    middle = (slices - 1) * 0.5
    low, high = _share_of(first, last)
    by_row, by_column, by_row_step, by_column_step = row * 0, row * 0, row * 0, row * 0
    for number in range(low, high):
        step = (number - middle).to(row.dtype)
        offset, down, right, has_a, has_b, has_c, has_d = _neighbours(
            row + step * row_step,
            column + step * column_step,
            (number >= first) & (number <= last),
            stride_row,
            stride_column,
            height,
            width,
        )
        place = start + number * stride + offset
        a = tl.load(place, mask=has_a, other=0.0).to(row.dtype)
        b = tl.load(place + stride_column, mask=has_b, other=0.0).to(row.dtype)
        c = tl.load(place + stride_row, mask=has_c, other=0.0).to(row.dtype)
        d = tl.load(place + stride_row + stride_column, mask=has_d, other=0.0).to(row.dtype)
        downward = (c - a) + right * ((d - b) - (c - a))
        rightward = (b - a) + down * ((d - c) - (b - a))
        by_row += downward
        by_column += rightward
        by_row_step += step * downward
        by_column_step += step * rightward
    where = gradients + (part * images + image).to(tl.int64) * 4 * rays + ray
    tl.store(where, by_row, mask=exists)
    tl.store(where + rays, by_column, mask=exists)
    tl.store(where + 2 * rays, by_row_step, mask=exists)
    tl.store(where + 3 * rays, by_column_step, mask=exists)
