"""The checks of the extension catalogue that can be made on files."""

import re

import pytest

from Testing.Repository import tree

TEXT = (tree.ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
KEYS = ["HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"]
RAW = "https://raw.githubusercontent.com/TomoRay/SlicerTomoRay/main/"


def value(key: str) -> str:
    found = re.findall(rf'^set\(EXTENSION_{key} "([^"\n]*)"\)$', TEXT, flags=re.MULTILINE)
    assert len(found) == 1, f"EXTENSION_{key} must be one quoted string, set once"
    return found[0]


@pytest.mark.parametrize("key", KEYS)
def test_each_value_is_one_quoted_string(key):
    assert value(key).strip()
    assert TEXT.count(f"EXTENSION_{key} ") == 1


def test_the_project_carries_the_extensions_name():
    assert re.findall(r"^project\((\w+)\)$", TEXT, flags=re.MULTILINE) == ["TomoRay"]


def test_icon_and_screenshots_are_pictures_in_this_repository():
    urls = [value("ICONURL"), *value("SCREENSHOTURLS").split()]
    assert len(urls) >= 2
    for url in urls:
        assert url.startswith(RAW), url
        picture = tree.ROOT / url.removeprefix(RAW)
        assert picture in tree.files(), f"{url}: no such file in the repository"
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", f"{picture} is no PNG"


def test_the_description_says_what_it_is_and_that_it_is_no_diagnosis():
    words = value("DESCRIPTION").lower()
    assert "synthetic" in words
    assert "research" in words


def test_contributors_name_their_organization():
    assert re.fullmatch(r"[^(),]+ \([^()]+\)(, [^(),]+ \([^()]+\))*", value("CONTRIBUTORS"))


def test_torch_comes_from_the_pytorch_extension():
    assert value("DEPENDS").split() == ["PyTorch"]
    wanted = tree.under("TomoRay/Resources", suffix="requirements.txt")
    lines = [line.strip() for path in wanted for line in path.read_text("utf-8").splitlines()]
    names = {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in lines if line and line[0] != "#"}
    # Slicer brings these itself, or the PyTorch extension does; a second copy breaks them.
    assert not names & {"torch", "numpy", "scipy", "simpleitk", "pydicom", "vtk"}
    assert not [line for line in lines if "==" in line]


def test_the_licence_has_a_name_that_the_catalogue_accepts():
    licence = (tree.ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
