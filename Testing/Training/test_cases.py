"""Who is in which split is a text file that is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from TomoRayCore.errors import InputError
from TomoRayTraining.cases import Case, cases_of_collection, read_cases, write_cases

HEADER = "case,patient,split,kind,ct\n"


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        read_cases(path)
    assert error.value.code == "BAD_CASES"
    return error.value.message


def test_a_table_gives_back_the_cases_that_were_written(tmp_path):
    cases = [
        Case("a", "p1", "train", "whole", Path("a.nii.gz")),
        Case("b, the second", 'p"1"', "val", "cut", Path("a folder, with comma/b.nrrd")),
        Case("ç", "p3", "test", "phantom", tmp_path / "c.nrrd"),
    ]
    write_cases(tmp_path / "cases.csv", cases)
    read = read_cases(tmp_path / "cases.csv")
    assert [c.ct for c in read] == [tmp_path / c.ct for c in cases]
    assert [(c.case, c.patient, c.split, c.kind) for c in read] == [
        (c.case, c.patient, c.split, c.kind) for c in cases
    ]


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + "a,p,train,whole,a.nrrd\r\n"
    (tmp_path / "cases.csv").write_bytes(text.encode())
    assert read_cases(tmp_path / "cases.csv")[0].case == "a"


def test_a_patient_in_two_splits_is_refused_by_name(tmp_path):
    text = HEADER + "a,twice,train,whole,a.nrrd\nb,other,val,whole,b\nc,twice,test,whole,c\n"
    message = refusal(tmp_path / "cases.csv", text)
    assert "'twice'" in message
    assert "train" in message
    assert "test" in message


def test_leakage_is_refused_in_writing_too(tmp_path):
    cases = [
        Case("a", "p", "train", "whole", Path("a")),
        Case("b", "p", "test", "whole", Path("b")),
    ]
    with pytest.raises(InputError):
        write_cases(tmp_path / "cases.csv", cases)
    assert not (tmp_path / "cases.csv").exists()


def test_two_scans_of_a_patient_in_one_split_are_welcome(tmp_path):
    (tmp_path / "cases.csv").write_text(HEADER + "a,p,train,whole,a\nb,p,train,whole,b\n")
    assert len(read_cases(tmp_path / "cases.csv")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        "case,patient,split,ct\na,p,train,a.nrrd\n",
        HEADER + "a,p,train,whole,\n",
        HEADER + "a,p,train\n",
        HEADER + "a,p,holdout,whole,a.nrrd\n",
        HEADER + "a,p,Train,whole,a.nrrd\n",
        HEADER + "a,p,train,whole,a\na,q,train,whole,b\n",
        b"\xff\xfe\x00c\x00a",
    ],
    ids=range(9),
)
def test_a_table_that_is_none_is_refused(tmp_path, text):
    refusal(tmp_path / "cases.csv", text)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        read_cases(tmp_path / "none.csv")
    assert error.value.code == "BAD_CASES"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    manifest = (
        "id,split,vertex_missing_mm\nwhole1,train,0\ncut1,train,12.5\ntest1,test,\nval1,val,0\n"
    )
    (tmp_path / "manifest.csv").write_text(manifest + "left_out,exclude,0\n")
    for folder, names in {
        "heads_2mm": ("whole1", "cut1", "test1", "val1", "left_out", "unknown"),
        "heads_2mm_completed": ("cut1", "test1"),
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.nii.gz").touch()
    return tmp_path


def test_a_collection_is_listed_by_split_and_kind(collection):
    cases = {case.case: case for case in cases_of_collection(collection)}
    assert {name: (c.patient, c.split, c.kind) for name, c in cases.items()} == {
        "whole1-whole": ("whole1", "train", "whole"),
        "cut1-cut": ("cut1", "train", "cut"),
        "test1-whole": ("test1", "test", "whole"),
        "val1-whole": ("val1", "val", "whole"),
        "cut1-completed": ("cut1", "train", "completed"),
    }
    assert all(case.ct.is_file() for case in cases.values())


def test_a_borrowed_vault_never_reaches_the_test_split(collection):
    tested = [case for case in cases_of_collection(collection) if case.split != "train"]
    assert all(case.kind != "completed" for case in tested)


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "",
        "name,split\na,train\n",
        "id,split,vertex_missing_mm\na,train,much\n",
        "id,split,vertex_missing_mm\na,train,0\n",
    ],
    ids=["none", "empty", "other_columns", "no_number", "no_heads"],
)
def test_a_folder_without_a_proper_manifest_is_refused(tmp_path, manifest):
    if manifest is not None:
        (tmp_path / "manifest.csv").write_text(manifest)
    with pytest.raises(InputError):
        cases_of_collection(tmp_path)
