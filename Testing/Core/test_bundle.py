"""A model file is whole, described and unpickled, or it is refused with a code."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TomoRayCore import bundle as bundle_module
from TomoRayCore.bundle import (
    MAX_HEADER_BYTES,
    METADATA_KEY,
    REQUIRED,
    available_models,
    find_model,
    read_bundle,
    read_description,
    tensors_sha256,
    write_bundle,
)
from TomoRayCore.errors import InputError
from TomoRayCore.inference import load_network, reconstruct
from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph


def small_description() -> dict[str, Any]:
    return {
        "name": "small",
        "summary": "Two tensors, for tests",
        "architecture": {"name": "x2ct-biplanar", "arguments": {"width": 0.0625}},
        "input": InputSpec().to_dict(),
        "output": OutputSpec(64, 4.0, 64, 4.0).to_dict(),
        "geometry": from_preset().to_dict(),
        "tolerance": {"sad_mm": [700, 2000], "angle_deg": 10},
        "training": {"data": "none; µ"},
        "intended_use": "tests",
        "known_failures": ["everything"],
        "metrics": {},
        "seed": 7,
    }


def small_tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        "layer.weight": random.normal(size=(3, 5)).astype(np.float16),
        "layer.bias": random.normal(size=3).astype(np.float32),
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    write_bundle(path, small_description(), small_tensors())
    return path


def write_raw(path: Path, header: dict[str, Any] | bytes, body: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def parts_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def forge(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Rewrite a file's description with valid checksums: damage that no checksum shows."""
    header, body = parts_of(path)
    description = json.loads(header["__metadata__"][METADATA_KEY])
    change(description)
    rest = {k: v for k, v in description.items() if k != "description_sha256"}
    text = json.dumps(rest, sort_keys=True).encode()
    description["description_sha256"] = hashlib.sha256(text).hexdigest()
    header["__metadata__"][METADATA_KEY] = json.dumps(description, sort_keys=True)
    return write_raw(path, header, body)


def refusal(path: Path | str | None) -> str:
    with pytest.raises(InputError) as error:
        read_bundle(path)
    assert error.value.remedy
    return error.value.code


# ------------------------------------------------------------------------------- whole files


def test_a_model_file_gives_back_what_was_written(small):
    bundle = read_bundle(small)
    assert bundle.name == "small"
    assert bundle.path == small
    assert bundle.input == InputSpec()
    assert bundle.output == OutputSpec(64, 4.0, 64, 4.0)
    assert bundle.geometry == from_preset()
    assert bundle.description["training"] == {"data": "none; µ"}
    assert bundle.tensors.keys() == small_tensors().keys()
    for name, tensor in small_tensors().items():
        assert bundle.tensors[name].dtype == tensor.dtype
        assert np.array_equal(bundle.tensors[name], tensor)
    assert bundle.sha256 == tensors_sha256(small_tensors())


def test_the_description_can_be_read_without_the_weights(small):
    header, _ = parts_of(small)
    weightless = write_raw(small.with_name("weightless.safetensors"), header, b"")
    assert read_description(weightless)["name"] == "small"


def test_the_same_model_gives_the_same_bytes(small, tmp_path):
    again = tmp_path / "again.safetensors"
    write_bundle(again, small_description(), small_tensors())
    assert again.read_bytes() == small.read_bytes()


def test_transposed_weights_are_stored_as_they_look(tmp_path):
    tensors = {"w": np.arange(12, dtype=np.float32).reshape(3, 4).T}
    write_bundle(tmp_path / "t.safetensors", small_description(), tensors)
    assert np.array_equal(read_bundle(tmp_path / "t.safetensors").tensors["w"], tensors["w"])


@pytest.mark.parametrize("change", ["name", "value", "shape", "type"])
def test_the_checksum_sees_every_property_of_a_tensor(change):
    tensors = small_tensors()
    if change == "name":
        tensors["layer.other"] = tensors.pop("layer.bias")
    elif change == "value":
        tensors["layer.bias"][2] = np.nextafter(tensors["layer.bias"][2], np.float32(9))
    elif change == "shape":
        tensors["layer.weight"] = tensors["layer.weight"].T
    else:
        tensors["layer.bias"] = tensors["layer.bias"].view(np.int32)
    assert tensors_sha256(tensors) != tensors_sha256(small_tensors())


def test_an_incomplete_description_is_not_written(tmp_path):
    description = small_description()
    del description["intended_use"]
    with pytest.raises(InputError):
        write_bundle(tmp_path / "x.safetensors", description, small_tensors())
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- finding


def test_the_shipped_models_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_module, "model_folder", lambda: tmp_path)
    for name in ("b", "a"):
        write_bundle(tmp_path / f"{name}.safetensors", small_description(), small_tensors())
    assert [path.stem for path in available_models()] == ["a", "b"]
    assert find_model("a") == tmp_path / "a.safetensors"
    assert find_model(tmp_path / "b.safetensors") == tmp_path / "b.safetensors"
    with pytest.raises(InputError, match="a, b") as error:
        find_model("c")
    assert error.value.code == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "nothing.safetensors",
        "../nothing",
        "/no/such/x.safetensors",
        "~nobody-9/x",
        "a\0b",
    ],
)
def test_a_model_that_is_not_there_is_refused(name):
    assert refusal(name) == "MODEL_NOT_FOUND"


def test_a_folder_with_a_models_name_is_no_model(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    assert refusal(tmp_path / "x.safetensors") == "MODEL_NOT_FOUND"
    with pytest.raises(InputError):
        read_description(tmp_path / "x.safetensors")


# ------------------------------------------------------------------------------- damage


def outcome(damaged: Path, original: Path) -> str:
    """Return the code of the refusal, or whether an accepted file means the same."""
    try:
        here = read_bundle(damaged)
    except InputError as error:
        return error.code
    there = read_bundle(original)
    same = here.description == there.description and all(
        np.array_equal(here.tensors[name], there.tensors[name]) for name in there.tensors
    )
    return "same" if same else "DIFFERENT"


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
def test_no_flipped_byte_goes_unnoticed(small, tmp_path, mask):
    data = small.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    outcomes = Counter()
    for offset in range(0, len(data), 3 if mask == 0x01 else 11):
        changed = bytearray(data)
        changed[offset] ^= mask
        damaged.write_bytes(changed)
        outcomes[outcome(damaged, small)] += 1
    assert not outcomes["DIFFERENT"]
    assert outcomes["same"] < outcomes.total() / 20
    assert all(code == "same" or code.startswith("MODEL_") for code in outcomes if outcomes[code])


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_is_refused(small, share):
    data = small.read_bytes()
    small.write_bytes(data[: int(share * len(data))])
    assert refusal(small) in {"MODEL_TRUNCATED", "MODEL_NOT_SAFETENSORS"}


def test_a_file_with_something_behind_it_is_refused(small):
    small.write_bytes(small.read_bytes() + b"\0")
    assert refusal(small) == "MODEL_TRUNCATED"


class Bomb:
    """Would write a file if anything unpickled it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickled_checkpoint_is_refused_and_never_loaded(tmp_path):
    path, mark = tmp_path / "x.safetensors", tmp_path / "exploded"
    path.write_bytes(pickle.dumps({"w": Bomb(mark)}))
    assert refusal(path) == "MODEL_NOT_SAFETENSORS"
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"hello, this is plain text in a file with the wrong name",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}" * 100,
        struct.pack("<Q", 0),
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 5006) + b'{"a":' + b"1" * 5000 + b"}",
    ],
    ids=range(11),
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert refusal(path) == "MODEL_NOT_SAFETENSORS"


@pytest.mark.parametrize(
    "metadata", [None, {}, {"other": "x"}, {METADATA_KEY: 5}, [], "x"], ids=str
)
def test_a_safetensors_file_of_somebody_else_is_refused(small, metadata):
    header, body = parts_of(small)
    header["__metadata__"] = metadata
    assert refusal(write_raw(small, header, body)) == "MODEL_NOT_TOMORAY"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", "[" * 100_000, "1" * 5000], ids=range(7)
)
def test_a_description_that_is_no_json_object_is_refused(small, text):
    header, body = parts_of(small)
    header["__metadata__"][METADATA_KEY] = text
    assert refusal(write_raw(small, header, body)) == "MODEL_DESCRIPTION"


def test_a_deeply_nested_description_is_refused(small):
    """Just below the parser's limit, what comes after it may run out of stack instead."""
    header, body = parts_of(small)
    text = header["__metadata__"][METADATA_KEY]
    for depth in range(100, 1400, 25):
        nest = "[" * depth + "]" * depth
        header["__metadata__"][METADATA_KEY] = text.replace(
            '"metrics": {', f'"more": {nest}, "metrics": {{'
        )
        assert refusal(write_raw(small, header, body)) in {"MODEL_DESCRIPTION", "MODEL_HASH"}


@pytest.mark.parametrize("schema", [None, 0, 2, "1", 1.5])
def test_another_schema_is_refused(small, schema):
    assert refusal(forge(small, lambda d: d.update(schema=schema))) == "MODEL_SCHEMA"


WRONG = {int: "x", str: 5, dict: [], list: {}}


@pytest.mark.parametrize("name", [n for n in REQUIRED if not n.endswith("sha256")])
def test_a_missing_or_wrong_field_is_refused(small, name):
    codes = {"MODEL_DESCRIPTION", "MODEL_SCHEMA"}
    data = small.read_bytes()
    assert refusal(forge(small, lambda d: d.pop(name))) in codes
    small.write_bytes(data)
    assert refusal(forge(small, lambda d: d.update({name: WRONG[REQUIRED[name]]}))) in codes


def test_an_edited_description_is_refused(small):
    header, body = parts_of(small)
    text = header["__metadata__"][METADATA_KEY]
    header["__metadata__"][METADATA_KEY] = text.replace("everything", "nothing---")
    assert refusal(write_raw(small, header, body)) == "MODEL_HASH"


INNER = {
    "input": [
        {},
        {"size": "x", "field_mm": 256},
        {"size": 128},
        {"size": None, "field_mm": 256},
        {"size": [128], "field_mm": 256},
        {"size": -1, "field_mm": 256},
        {"size": 1e999, "field_mm": 256},
        {"size": 128, "field_mm": float("nan")},
        {"size": 128, "field_mm": 10**400},
    ],
    "output": [
        {},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"hu_window": 5},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"hu_window": [1]},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"hu_window": [5, 1]},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"hu_window": ["a", "b"]},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"size": 10**9},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"network_size": 1e999},
        OutputSpec(64, 4.0, 64, 4.0).to_dict() | {"spacing_mm": -4},
    ],
    "geometry": [{}, {"schema": 1}, from_preset().to_dict() | {"views": [1, 2]}],
    "tolerance": [
        {},
        {"sad_mm": [1, 2]},
        {"angle_deg": 10},
        {"sad_mm": 5, "angle_deg": 10},
        {"sad_mm": [1], "angle_deg": 10},
        {"sad_mm": [2, 1], "angle_deg": 10},
        {"sad_mm": ["a", "b"], "angle_deg": 10},
        {"sad_mm": [None, 1], "angle_deg": 10},
        {"sad_mm": [1, 1e999], "angle_deg": 10},
        {"sad_mm": [1, 10**400], "angle_deg": 10},
        {"sad_mm": [1, 2], "angle_deg": "wide"},
        {"sad_mm": [1, 2], "angle_deg": float("nan")},
    ],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in INNER.items() for value in values],
    ids=lambda x: str(x)[:60],
)
def test_a_garbled_inner_field_is_refused(small, field, value):
    assert refusal(forge(small, lambda d: d.update({field: value}))) == "MODEL_DESCRIPTION"


# ------------------------------------------------------------------------------- weights


def with_weights(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    write_bundle(path, small_description(), tensors)
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    tensors = small_tensors()
    tensors["layer.weight"][1, 1] = value
    assert refusal(with_weights(tmp_path / "x.safetensors", tensors)) == "MODEL_WEIGHTS"


def test_weights_beyond_float32_are_refused(tmp_path):
    tensors = {"w": np.array([1e300])}
    assert refusal(with_weights(tmp_path / "x.safetensors", tensors)) == "MODEL_WEIGHTS"


def test_complex_weights_are_refused(tmp_path):
    tensors = {"w": np.array([1 + 2j], np.complex64)}
    assert refusal(with_weights(tmp_path / "x.safetensors", tensors)) == "MODEL_WEIGHTS"


def test_a_file_without_weights_is_refused(tmp_path):
    assert refusal(with_weights(tmp_path / "x.safetensors", {})) == "MODEL_HASH"


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]},
        {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]},
        {"dtype": "X7", "shape": [16], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [10**19], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**63]},
        {"dtype": "F32", "shape": [4]},
        5,
        None,
    ],
    ids=str,
)
def test_a_hostile_tensor_entry_is_refused(small, entry):
    header, _ = parts_of(small)
    forged = {"__metadata__": header["__metadata__"], "w": entry}
    assert refusal(write_raw(small, forged, b"\0" * 16)) in {"MODEL_TRUNCATED", "MODEL_HASH"}


# ------------------------------------------------------------------------------- use


def load_refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_network(read_bundle(path))
    return error.value.code


@pytest.mark.parametrize(
    ("architecture", "code"),
    [
        ({}, "ARCHITECTURE_UNKNOWN"),
        ({"name": ["x2ct-biplanar"]}, "ARCHITECTURE_UNKNOWN"),
        ({"name": "os.system"}, "ARCHITECTURE_UNKNOWN"),
        *(
            ({"name": "x2ct-biplanar", "arguments": arguments}, "ARCHITECTURE_ARGUMENTS")
            for arguments in (
                {"width": 1e9},
                {"width": "x"},
                {"width": float("nan")},
                {"width": None},
                {"width": 10**400},
                {"dropout": "x"},
                {"dropout": 2},
                {"output_size": "x"},
                {"output_size": 10**9},
                {"output_size": [64], "width": "x"},
                {"width": []},
                {"depth": 3},
                "abc",
                [1, 2],
                7,
            )
        ),
    ],
    ids=str,
)
def test_a_hostile_architecture_is_refused(tiny_bundle, tmp_path, architecture, code):
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_bundle.read_bytes())
    forge(path, lambda d: d.update(architecture=architecture))
    assert load_refusal(path) == code


def test_a_network_that_would_fill_the_memory_is_refused_before_it_is_built(tiny_bundle, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_bundle.read_bytes())
    arguments = {"width": 4.0, "output_size": 128}  # 4 GB of weights
    forge(path, lambda d: d["architecture"].update(arguments=arguments))
    assert load_refusal(path) == "MODEL_MISMATCH"


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_network_are_refused(tiny_bundle, tmp_path, change):
    bundle = read_bundle(tiny_bundle)
    tensors = dict(bundle.tensors)
    name = sorted(tensors)[3]
    if change == "missing":
        del tensors[name]
    elif change == "extra":
        tensors["views.7.stem"] = np.zeros(3, np.float32)
    else:
        tensors[name] = np.zeros((*tensors[name].shape, 2), np.float32)
    path = tmp_path / "x.safetensors"
    write_bundle(path, bundle.description, tensors)
    assert load_refusal(path) == "MODEL_MISMATCH"


def films() -> list[Radiograph]:
    random = np.random.default_rng(0)
    return [
        Radiograph(random.gamma(2.0, 1.0, (128, 128)), view, (3.4, 3.4)) for view in ("AP", "LAT")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": from_preset(views=["AP"]).to_dict()},
        {"geometry": from_preset(views=["AP", "LAT", "PA"]).to_dict()},
        {"geometry": from_preset(views=["LAT", "AP"]).to_dict()},
        {"output": OutputSpec(128, 2.0, 128, 2.0).to_dict()},
        {"input": InputSpec(size=64).to_dict()},
    ],
    ids=["one_view", "three_views", "other_order", "other_output", "other_input"],
)
def test_a_description_that_does_not_fit_the_network_is_refused_in_use(
    tiny_bundle, tmp_path, change
):
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_bundle.read_bytes())
    bundle = read_bundle(forge(path, lambda d: d.update(change)))
    with pytest.raises(InputError):
        reconstruct(films(), None, bundle, device="cpu")
