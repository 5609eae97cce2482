"""Projection through blocky voxels, against plastimatch 1.9.4's own pixels.

The pixels in ``Testing/Support/plastimatch_1_9_4.json`` were written by the commands beside them,
on the CT of ``plastimatch_cases``.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from orientations import DIRECTIONS, rotation
from plastimatch_cases import VIEWS, plastimatch_ct, run_plastimatch
from projector_reference import siddon_line_integral

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.drr.attenuation import PLASTIMATCH, WATER_60KEV
from TomoRayCore.drr.plastimatch import (
    PlastimatchView,
    commands_from_geometry,
    geometry_from_commands,
)
from TomoRayCore.drr.siddon import siddon_project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry, as_triple
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "Support" / "plastimatch_1_9_4.json").read_text(encoding="utf-8")
)
NEEDS_PLASTIMATCH = pytest.mark.skipif(
    shutil.which("plastimatch") is None, reason="plastimatch is not installed"
)


def water_block(border: int) -> Volume:
    """100 mm of water along every axis, in a border of air voxels of 10 mm."""
    hu = np.full((10, 10, 10), 0, np.int16)
    hu = np.pad(hu, border, constant_values=-1000)
    origin = [-(hu.shape[0] - 1) * 5.0] * 3
    return Volume(hu, compose_affine(np.eye(3), [10.0] * 3, origin))


def one_pixel(options: str) -> AcquisitionGeometry:
    return geometry_from_commands({"view": f"-r '1 1' -z '1 1' {options}"})


@pytest.mark.parametrize("name", VIEWS)
def test_pixels_are_those_of_plastimatch(name):
    geometry = geometry_from_commands({name: GOLDEN[name]["command"]})
    image = siddon_project(plastimatch_ct(), geometry)[0]
    assert image.dtype == np.float32
    assert np.abs(image - GOLDEN[name]["rows"]).max() < 1e-7


@NEEDS_PLASTIMATCH
@pytest.mark.parametrize("name", VIEWS)
def test_the_plastimatch_of_this_machine_still_gives_these_pixels(name, tmp_path):
    image = run_plastimatch(plastimatch_ct(), shlex.split(VIEWS[name]), tmp_path)
    assert np.abs(image - GOLDEN[name]["rows"]).max() < 1e-7


@NEEDS_PLASTIMATCH
@pytest.mark.parametrize("preset", ["cranial-biplanar", "radiography"])
def test_our_presets_project_as_in_plastimatch(preset, tmp_path):
    ct = plastimatch_ct()
    geometry = from_preset(preset, size=17, isocentre_lps=(-20.0, 130.0, -55.0), views=("AP", "30"))
    images = siddon_project(ct, geometry)
    for image, options in zip(images, commands_from_geometry(geometry).values(), strict=True):
        # plastimatch rounds its options to single precision, which moves the voxels' edges.
        assert np.abs(image - run_plastimatch(ct, options, tmp_path)).max() < 1e-5 * image.max()


@NEEDS_PLASTIMATCH
@pytest.mark.parametrize("seed", range(6))
def test_any_ct_and_view_project_as_in_plastimatch(seed, tmp_path):
    rng = np.random.default_rng(seed)
    shape, spacing, origin = rng.integers(9, 30, 3), rng.uniform(1, 5, 3), rng.uniform(-99, 99, 3)
    hu = rng.integers(-1024, 3000, shape).astype(np.int16)
    ct = Volume(hu, compose_affine(np.eye(3), spacing, origin))
    sad = float(rng.uniform(300, 1500))
    view = PlastimatchView(
        nrm=as_triple(rng.normal(size=3)),
        vup=as_triple(rng.normal(size=3)),
        sad=sad,
        sid=sad * float(rng.uniform(1.05, 2)),
        r=(int(rng.integers(9, 30)), int(rng.integers(9, 30))),
        z=(float(rng.uniform(20, 99)), float(rng.uniform(20, 99))),
        c=(float(rng.uniform(0, 9)), float(rng.uniform(0, 9))) if seed % 2 else None,
        o=as_triple(np.array(ct.grid.centre_lps) + rng.normal(0, 5, 3)),
    )
    image = siddon_project(ct, geometry_from_commands({"view": view.arguments()}))[0]
    theirs = run_plastimatch(ct, view.arguments(), tmp_path)
    assert theirs.max() > 0
    assert np.abs(image - theirs).max() < 1e-5 * theirs.max()


@pytest.mark.parametrize("name", ["RAS", "mirrored", "feet_first", "sagittal", "coronal"])
def test_the_same_voxels_stored_in_another_order_give_the_same_pixels(name):
    stored = plastimatch_ct()
    direction = DIRECTIONS[name]
    turned = Volume(
        stored.array_hu,
        compose_affine(direction, stored.spacing_ijk_mm, direction @ [1.0, 2.0, 3.0]),
    )
    identity = np.abs(direction).argmax(axis=1)
    array = turned.array_hu.transpose([2 - axis for axis in reversed(identity)])
    signs = [int(direction[world, axis]) for world, axis in enumerate(identity)]
    array = array[tuple(slice(None, None, sign) for sign in reversed(signs))]
    spacing = np.array(stored.spacing_ijk_mm)[identity]
    corners = turned.ijk_to_lps @ np.array([[0, 0, 0, 1], [*np.array(stored.shape[::-1]) - 1, 1]]).T
    lps = Volume(array, compose_affine(np.eye(3), spacing, corners[:3].min(axis=1)))
    geometry = geometry_from_commands({"view": VIEWS["tilted"].split("-o")[0]})
    geometry = geometry.centred_on(lps.grid.centre_lps)
    images = [siddon_project(volume, geometry)[0] for volume in (turned, lps)]
    assert images[0].max() > 0.01
    assert np.abs(images[0] - images[1]).max() < 1e-6


def test_an_oblique_volume_is_refused():
    affine = compose_affine(rotation((0, 0, 1), 10.0), [1.0, 1.0, 1.0], [0, 0, 0])
    with pytest.raises(InputError) as caught:
        siddon_project(Volume(np.zeros((3, 3, 3), np.int16), affine), from_preset())
    assert caught.value.code == "OBLIQUE_VOLUME"


def test_100_mm_of_water_are_a_tenth_of_2_2_as_in_plastimatch():
    pixel = siddon_project(water_block(border=1), one_pixel("--nrm '0 -1 0'"))[0]
    assert pixel == pytest.approx(0.22, rel=1e-6)


def test_the_default_rule_gives_the_whole_integral():
    pixel = siddon_project(water_block(1), one_pixel("--nrm '0 -1 0'"), rule=WATER_60KEV)[0]
    assert pixel == pytest.approx(100 * 0.02059, rel=1e-6)


def test_the_voxel_in_which_a_ray_leaves_the_volume_is_left_out_as_in_plastimatch():
    pixel = siddon_project(water_block(border=0), one_pixel("--nrm '0 -1 0'"))[0]
    assert pixel == pytest.approx(0.22 * 9 / 10, rel=1e-6)


def test_with_air_around_it_every_ray_is_the_exact_sum_of_chords():
    padded = np.pad(plastimatch_ct().array_hu, 1, constant_values=-1000)
    ct = Volume(padded, plastimatch_ct().ijk_to_lps)
    grid = ct.grid
    mu = PLASTIMATCH.mu_per_mm(ct.array_hu)
    geometry = geometry_from_commands({"view": VIEWS["tilted"]})
    image = siddon_project(ct, geometry)[0]
    view = geometry.views[0]
    source, pixels = np.array(view.source_lps), view.pixel_centres_lps()
    exact = [[siddon_line_integral(mu, grid, source, end) for end in row] for row in pixels]
    assert np.abs(image - np.array(exact) / 10).max() < 1e-6


def test_rays_between_two_voxels_and_along_diagonals_stay_finite_and_whole():
    pixels = [
        siddon_project(water_block(1), one_pixel(f"--nrm '{nrm}' --vup '0.3 0.1 1'"))[0]
        for nrm in ("1 1 0", "-1 1 0", "0 1 1", "1 0 0", "0 1 0")
    ]
    expected = [100 * np.sqrt(2), 100 * np.sqrt(2), 100 * np.sqrt(2), 100, 100]
    assert np.ravel(pixels) == pytest.approx(np.array(expected) * 0.0022, rel=1e-4)


def test_parallel_beams_see_the_thickness_everywhere():
    view = ViewGeometry(
        "P", (0, -500, 0), (0, 500, 0), (1, 0, 0), (0, 0, -1), (9, 9), (5, 7), "parallel"
    )
    image = siddon_project(water_block(1), AcquisitionGeometry("p", (0, 0, 0), (view,)))[0]
    assert image == pytest.approx(np.full((5, 7), 0.22), rel=1e-6)


def test_volumes_of_one_voxel_thickness_and_of_air_are_projected():
    thin = Volume(np.zeros((1, 20, 20), np.int16), np.eye(4))
    air = Volume(np.full((4, 5, 6), -1000, np.int16), np.eye(4))
    geometry = from_preset(size=16)
    for volume in (thin, air):
        assert all(np.isfinite(image).all() for image in siddon_project(volume, geometry))
    assert not np.any(siddon_project(air, geometry))


def test_rays_that_never_reach_the_volume_see_nothing():
    far = one_pixel("--nrm '0 -1 0' -o '0 0 500'")
    behind_detector = one_pixel("--nrm '0 -1 0' --sad 10 --sid 20 -o '0 -300 0'")
    for geometry in (far, behind_detector):
        assert siddon_project(water_block(1), geometry)[0].item() == 0


# ------------------------------------------------------------------------------- command lines


def test_options_not_given_have_plastimatchs_defaults():
    view = geometry_from_commands({"LAT": "plastimatch drr -I ct.mha -O out"}).views[0]
    assert view.source_lps == (1000, 0, 0)
    assert view.sdd_mm == 1500
    assert view.size == (128, 128)
    assert view.pixel_spacing_mm == pytest.approx((600 / 128, 600 / 128))
    assert (view.u, view.v) == ((0, 1, 0), (0, 0, -1))


def test_our_frontal_and_lateral_views_are_plastimatchs():
    ours = from_preset("cranial-biplanar", size=64)
    edge = ours.views[0].pixel_spacing_mm[0] * 64
    common = f"--sad 1000 --sid 1500 -r '64 64' -z '{edge} {edge}'"
    theirs = geometry_from_commands(
        {"AP": f"{common} --nrm '0 -1 0'", "LAT": f"{common} --nrm '1 0 0'"}
    )
    for a, b in zip(ours.views, theirs.views, strict=True):
        assert np.allclose(a.pixel_centres_lps(), b.pixel_centres_lps(), atol=1e-3)
        assert np.allclose(a.source_lps, b.source_lps, atol=1e-3)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_survives_the_way_to_a_command_line_and_back(name):
    geometry = geometry_from_commands({name: VIEWS[name]})
    again = geometry_from_commands(commands_from_geometry(geometry))
    a, b = geometry.views[0], again.views[0]
    assert a.size == b.size
    assert np.allclose(a.pixel_centres_lps(), b.pixel_centres_lps(), atol=1e-4)
    assert np.allclose(a.source_lps, b.source_lps, atol=1e-4)
    assert np.allclose(geometry.isocentre_lps, again.isocentre_lps, atol=1e-4)


def test_options_of_older_scripts_are_understood():
    old = PlastimatchView.from_command("-t pfm -nrm '0 1 0' -g '541 949' -r '320 300' -z '500 480'")
    new = PlastimatchView.from_command(
        ["--nrm=0 1 0", "--sad=541", "--sid=949", "--dim", "320 300", "--detector-size=500 480"]
    )
    assert old == new
    assert (old.sad, old.sid, old.r) == (541, 949, (320, 300))


@pytest.mark.parametrize(
    "command",
    [
        "-a 4 -N 90",
        "-y 30",
        "-w '0 1 2 3'",
        "--nrm 0 1 0",
        "--nrm '0 1'",
        "--nrm 'a b c'",
        "--nrm '0 0 1'",
        "--sad 1600",
        "-r '0 5'",
        "-z 'nan 5'",
        "--nrm",
    ],
)
def test_commands_that_give_no_single_view_are_refused(command):
    with pytest.raises(InputError) as caught:
        geometry_from_commands({"view": command})
    assert caught.value.code == "BAD_GEOMETRY"


@pytest.mark.parametrize("change", [{"u": (-1, 0, 0)}, {"beam": "parallel"}])
def test_views_that_plastimatch_cannot_make_are_refused(change):
    view = {"u": (1, 0, 0), "beam": "cone"} | change
    geometry = AcquisitionGeometry(
        "mine",
        (0, 0, 0),
        (
            ViewGeometry(
                "AP",
                (0, -1000, 0),
                (0, 500, 0),
                view["u"],
                (0, 0, -1),
                (1, 1),
                (4, 4),
                view["beam"],
            ),
        ),
    )
    with pytest.raises(InputError) as caught:
        commands_from_geometry(geometry)
    assert caught.value.code == "NOT_FOR_PLASTIMATCH"
