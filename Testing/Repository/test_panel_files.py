"""Every widget of a .ui file that is bound to a parameter names one that exists."""

import ast
from xml.etree import ElementTree

import pytest

from Testing.Repository import tree

PANELS = tree.under("TomoRay/Resources/UI", suffix=".ui")


def parameter_classes() -> dict[str, dict[str, str]]:
    """Field name -> annotation, of each parameter node and parameter pack class."""
    found: dict[str, dict[str, str]] = {}
    for path in tree.under("TomoRay/TomoRay.py", "TomoRay/TomoRayLib", suffix=".py"):
        for node in ast.walk(tree.parse(path)):
            if isinstance(node, ast.ClassDef) and _is_parameter_class(node):
                found[node.name] = {
                    field.target.id: ast.unparse(field.annotation)
                    for field in node.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                }
    return found


def _is_parameter_class(node: ast.ClassDef) -> bool:
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return any(
        tree.dotted(mark).endswith(("parameterNodeWrapper", "parameterPack")) for mark in marks
    )


def bound_names(panel: ElementTree.Element) -> list[str]:
    wanted = "./property[@name='SlicerParameterName']/string"
    return [text.text or "" for widget in panel.iter("widget") for text in widget.findall(wanted)]


def exists(name: str, classes: dict[str, dict[str, str]]) -> bool:
    """`a` is a field of some class; `a.b` is a field of the class that `a` is declared as."""
    head, _, rest = name.partition(".")
    for fields in classes.values():
        if head in fields:
            return not rest or any(
                other in fields[head] and exists(rest, {other: classes[other]}) for other in classes
            )
    return False


def test_there_is_a_panel_and_a_parameter_node():
    assert PANELS
    assert parameter_classes()


@pytest.mark.parametrize("path", PANELS, ids=tree.name)
def test_every_bound_widget_names_a_parameter(path):
    names = bound_names(ElementTree.parse(path).getroot())
    classes = parameter_classes()
    assert names
    assert [name for name in names if not exists(name, classes)] == []


@pytest.mark.parametrize("path", PANELS, ids=tree.name)
def test_widget_names_are_unique_and_the_scene_reaches_the_panel(path):
    root = ElementTree.parse(path).getroot()
    names = [widget.get("name") for widget in root.iter("widget")]
    assert len(names) == len(set(names))
    top = root.find("widget")
    assert top is not None
    assert top.get("class") == "qMRMLWidget"


@pytest.mark.parametrize("path", PANELS, ids=tree.name)
def test_the_user_guide_names_every_control(path):
    guide = " ".join((tree.ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8").split())
    labels = [
        (text.text or "").rstrip(":")
        for widget in ElementTree.parse(path).getroot().iter("widget")
        if widget.get("class") in {"QPushButton", "QLabel", "ctkCollapsibleButton"}
        for text in widget.findall("./property[@name='text']/string")
    ]
    assert [label for label in labels if label and "<" not in label and label not in guide] == []


def test_a_misspelt_parameter_is_noticed():
    classes = {"Pack": {"size": "int"}, "Node": {"model": "str", "detector": "Pack"}}
    assert exists("model", classes)
    assert exists("detector.size", classes)
    assert not exists("modell", classes)
    assert not exists("detector.sise", classes)
    assert not exists("model.size", classes)
