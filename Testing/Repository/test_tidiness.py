"""Sizes, versions, and words that do not belong into a public repository."""

import re

import pytest

import TomoRayCore
from Testing.Repository import tree

MB = 1_000_000
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.$}/-])/(?:work|root|home|Users|tmp|opt)/[\w.-]+",
    "a package registry's host": r"\b(?:pypi|pythonhosted|anaconda)\.(?:org|com)\b|deb\.debian",
    "an unfinished place": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}
# A stand-in for paths of other people's machines, quoted from 3D Slicer's own interface.
HARNESS = tree.ROOT / "Testing" / "SlicerHarness"


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_text_holds(what):
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{tree.name(path)}:{number}: {match[0]}"
        for path in tree.text_files()
        if HARNESS not in path.parents
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert found == []


def test_default_models_fit_the_repository():
    sizes = {tree.name(p): p.stat().st_size for p in tree.under("TomoRay/Resources/Models")}
    assert {name: size for name, size in sizes.items() if size > 20 * MB} == {}


def test_the_working_tree_stays_far_below_the_catalogues_limit():
    assert sum(path.stat().st_size for path in tree.files()) < 60 * MB


def test_no_image_data_of_patients_is_committed():
    formats = (".dcm", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dicom")
    assert [tree.name(path) for path in tree.files() if path.name.lower().endswith(formats)] == []


def test_the_changelog_speaks_of_this_version():
    changelog = (tree.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)
    assert versions, "CHANGELOG.md has no `## x.y.z` heading"
    assert versions[0] == TomoRayCore.__version__


def test_text_files_end_with_one_line_break():
    wrong = [
        tree.name(path)
        for path in tree.text_files()
        if HARNESS not in path.parents
        and (text := path.read_bytes())
        and (not text.endswith(b"\n") or text.endswith(b"\n\n") or b"\r" in text)
    ]
    assert wrong == []
