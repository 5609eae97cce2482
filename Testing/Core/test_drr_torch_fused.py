"""The fused CUDA kernels, in Triton's interpreter on the CPU, and what happens without them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from TomoRayCore.drr import triton_rays
from TomoRayCore.drr.torch_pose import RayLines
from TomoRayCore.errors import InputError

BOUNDS = {
    "trial": 0.0,
    "forward": 1e-12,
    "transpose in float64": 1e-12,
    "transpose in float32": 1e-6,
    "gradients": 1e-10,
    "own geometry": 1e-12,
    "half precision": 1e-6,
    "one program a tile": 1e-12,
    "reference": 0.01,
    "empty batch": 0.0,
}


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    """How far off each kernel is."""
    return json.loads(run_in_triton("fused_kernel_checks.py", TRITON_INTERPRET="1"))


def run_in_triton(script: str, **variables: str) -> str:
    """Run a script of Testing/Support in a process of its own; return the last line it prints."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    places = [str(Path(__file__).parents[2] / "TomoRay"), *filter(None, sys.path)]
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "Support" / script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
        | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", BOUNDS)
def test_the_kernels_compute_what_the_torch_path_computes(
    errors: dict[str, float], name: str
) -> None:
    assert errors[name] <= BOUNDS[name]


def test_the_kernels_compile_for_gpus_of_two_generations(tmp_path: Path) -> None:
    smallest = run_in_triton("fused_kernel_compile.py", TRITON_CACHE_DIR=str(tmp_path))
    assert int(smallest) > 1000


def test_nothing_is_fused_on_the_cpu() -> None:
    assert not triton_rays.is_usable(torch.device("cpu"))


@pytest.mark.parametrize("fault", ["wrong numbers", "no compiler"])
def test_kernels_that_fail_their_trial_are_left_out_with_a_warning(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(device: torch.device) -> str:
        if fault == "no compiler":
            raise RuntimeError("no C compiler")
        return "its forward kernel is off by 1"

    monkeypatch.setattr(triton_rays, "_trial", trial)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    triton_rays.works_on.cache_clear()
    with pytest.warns(RuntimeWarning, match="no C compiler|off by 1"):
        assert not triton_rays.is_usable(torch.device("cuda", 0))
    triton_rays.works_on.cache_clear()


def test_nothing_is_fused_where_determinism_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_rays, "works_on", lambda device: True)
    assert triton_rays.is_usable(torch.device("cuda", 0))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert not triton_rays.is_usable(torch.device("cuda", 0))


def test_a_volume_beyond_32_bit_offsets_is_refused() -> None:
    lines = torch.zeros(1, 4, 1)
    rays = RayLines((0,), lines, torch.zeros(1, 2, 1, dtype=torch.int32), torch.ones(1, 1))
    with pytest.raises(InputError) as caught:
        triton_rays.LaunchPlan([rays], (1300, 1300, 1300), 1, (1, 1))
    assert caught.value.code == "BAD_GRID"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_pass_their_trial_on_the_gpu() -> None:
    assert triton_rays._trial(torch.device("cuda", 0)) == ""
