"""Compile the fused CUDA kernels for two GPU generations, which needs no GPU."""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from TomoRayCore.drr import triton_kernels, triton_rays

TILE = dict(zip(("TILE_ROWS", "TILE_COLUMNS"), triton_rays.TILE, strict=True))


def compiled_bytes(kernel: object, result: str, volume: str, capability: int) -> int:
    """Return the size of the machine code for a volume of a number type."""
    real = "*fp64" if volume == "*fp64" else "*fp32"
    signature = {
        "volume": volume,
        "table": "*i64",
        "lines": real,
        "limits": "*i32",
        result: real,
        "rows": "i32",
        "columns": "i32",
        "images": "i32",
        **dict.fromkeys(TILE, "constexpr"),
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=TILE)
    return len(triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"])


def main() -> None:
    smallest = min(
        compiled_bytes(kernel, result, volume, capability)
        for kernel, result, volumes in (
            (triton_kernels.forward_kernel, "sums", ("*fp32", "*bf16", "*fp64")),
            (triton_kernels.adjoint_kernel, "sums", ("*fp32",)),
            (triton_kernels.line_gradient_kernel, "gradients", ("*fp32",)),
        )
        for volume in volumes
        for capability in (80, 90)
    )
    print(smallest)


if __name__ == "__main__":
    main()
