"""Saved models that somebody changed are refused, with the file's name."""

import copy
import hashlib
import io
import json
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

import ensemble
from base_models import CheckpointError
from ensemble import ScorePipeline

SAVED = Path(__file__).parents[2] / "saved_models" / "version_1"
ODD = [None, True, -1, 2**70, 1e400, "", "a" * 300, "../x", [], {}, [[]], [None] * 3,
       {"own": "Voting"}, {"own": "os:system", "params": {}, "state": {}},
       {"array": "99"}, {"skops": "manifest.json"}, {"dict": [[1]]}, {"tuple": 3},
       {"strings": {"list": ["a"]}, "dtype": "<U900000000"}]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    ensemble.load(SAVED / "logistic.dfe")  # imports are not what a file takes


def opened(name):
    with zipfile.ZipFile(SAVED / name) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    return json.loads(parts.pop("manifest.json")), parts


def packed(manifest, parts, compression=zipfile.ZIP_STORED, listed=True):
    """Return a file whose list of parts is right, whatever is in them."""
    if listed and isinstance(manifest, dict):
        digests = {name: hashlib.sha256(c).hexdigest() for name, c in parts.items()}
        manifest = {**manifest, "sha256": digests}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        if manifest is not None:
            text = manifest if isinstance(manifest, str) else json.dumps(manifest)
            archive.writestr("manifest.json", text)
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


def refused(tmp_path, content, match=None, load=ensemble.load):
    path = tmp_path / "model.dfe"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=match) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def loads_or_refuses(tmp_path, content):
    """Load a file; anything but a CheckpointError is a failure of the test."""
    path = tmp_path / "model.dfe"
    path.write_bytes(content)
    problem = f"{path}"
    try:
        repr(ensemble.load(path))
    except CheckpointError as error:
        problem = str(error)
    assert str(path) in problem
    assert len(problem) < 2000
    return problem == f"{path}"


def test_a_part_that_the_manifest_does_not_list_is_refused(tmp_path):
    manifest, parts = opened("logistic.dfe")
    del manifest["sha256"]["parts/0.safetensors"]
    content = packed(manifest, parts, listed=False)
    refused(tmp_path, content, "parts/0.safetensors is in it, and not in its manifest")
    manifest, parts = opened("logistic.dfe")
    content = packed(manifest, {**parts, "run.py": b"print()"}, listed=False)
    refused(tmp_path, content, r"run\.py is in it")


def test_a_part_that_is_missing_or_changed_is_refused(tmp_path):
    manifest, parts = opened("logistic.dfe")
    left = {k: v for k, v in parts.items() if k != "parts/1.safetensors"}
    refused(
        tmp_path, packed(manifest, left, listed=False), "parts/1.safetensors is not"
    )
    changed = {**parts, "parts/1.safetensors": parts["parts/0.safetensors"] + b"a"}
    refused(tmp_path, packed(manifest, changed, listed=False), "not what was saved")


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    manifest, parts = opened("logistic.dfe")
    content = io.BytesIO(packed(manifest, parts))
    with zipfile.ZipFile(content, "a") as archive, pytest.warns(match="Dupl"):
        archive.writestr("parts/0.safetensors", parts["parts/1.safetensors"])
    refused(tmp_path, content.getvalue(), "there twice")


@pytest.mark.parametrize(
    ("before", "behind", "said"),
    [(b"#!/bin/sh\n", b"", "before its parts"), (b"", b"junk", "behind its parts")],
)
def test_what_lies_beside_the_archive_is_refused(tmp_path, before, behind, said):
    content = packed(*opened("logistic.dfe"))
    (tmp_path / "whole.dfe").write_bytes(content)
    ensemble.load(tmp_path / "whole.dfe")
    refused(tmp_path, before + content + behind, f"something else {said}")


def test_a_bomb_is_refused_by_what_its_list_says(tmp_path):
    manifest, parts = opened("reals_alone.dfe")
    bomb = {**parts, "zeros": bytes(2**28)}
    refused(tmp_path, packed(manifest, bomb, zipfile.ZIP_DEFLATED), "unpack to 268,")
    refused(tmp_path, packed(manifest, parts, zipfile.ZIP_DEFLATED), "is compressed")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image_size", 100_000, "from 1 to 4096; got 100000"),
        ("margin", float("nan"), "margin must be a number above 0; got nan"),
        ("n_frames", -1, "n_frames must be a whole number >= 1; got -1"),
        ("pooling", "evil", "unknown pooling 'evil'"),
        ("pooling", {"list": ["mean"]}, "unknown pooling"),
    ],
)
def test_a_member_that_could_score_nothing_is_refused(tmp_path, name, value, said):
    manifest, parts = opened("reals_alone.dfe")
    params = manifest["detectors"][0]["members"][0]["params"]["dict"]
    next(pair for pair in params if pair[0] == name)[1] = value
    refused(tmp_path, packed(manifest, parts), f"'frequency' .*{said}")


@pytest.mark.parametrize("value", ["os.system", [1, 2], None, float("inf"), True])
def test_a_member_that_learned_no_number_is_refused(tmp_path, value):
    manifest, parts = opened("reals_alone.dfe")
    manifest["detectors"][0]["members"][0]["meta"]["intercept"] = value
    said = "'frequency' learned .* its intercept must be a finite number"
    refused(tmp_path, packed(manifest, parts), said)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("short_side", [1, 2, []]),
        ("short_side", [10**30, 10**30, 10**30]),
        ("quantiser", [{"dict": []}, 1, 2]),
        ("seconds", [1, 2]),
        ("codecs", 1.5),
        ("codecs", {"h264": "many"}),
        ("evil", [1, 2, 3]),
    ],
)
def test_a_card_that_no_video_can_be_compared_with_is_refused(tmp_path, name, value):
    manifest, parts = opened("reals_alone.dfe")
    right = {"n_videos": 9, "short_side": [128, 256, 720], "codecs": {"h264": 9}}
    manifest["card"] = {**(manifest.get("card") or {}), "profile": right}
    assert loads_or_refuses(tmp_path, packed(manifest, parts))
    manifest["card"]["profile"] = {**right, name: value}
    refused(tmp_path, packed(manifest, parts), "what its card says cannot be read")


def test_a_member_under_another_name_is_refused(tmp_path):
    manifest, parts = opened("reals_alone.dfe")
    manifest["detectors"][0]["name"] = "../evil"
    refused(tmp_path, packed(manifest, parts), r"'../evil', and scores of 'frequency'")


@pytest.mark.parametrize("text", ["", "[]", "3", '"a"', "{}", "[" * 100_000, '{"a":'])
def test_a_manifest_of_another_kind_is_refused(tmp_path, text):
    _, parts = opened("reals_alone.dfe")
    refused(tmp_path, packed(text, parts, listed=False))


def test_a_file_without_manifest_is_refused(tmp_path):
    refused(tmp_path, packed(None, {"a": b"b"}), "not a saved ensemble")


@pytest.mark.parametrize("number", [0, 99, None, "2", [2]])
def test_a_later_format_is_refused(tmp_path, number):
    manifest, parts = opened("reals_alone.dfe")
    content = packed({**manifest, "format": number, "versions": []}, parts)
    refused(tmp_path, content, "this release reads 1, 2, 3")


@pytest.mark.parametrize("part", ["parts/0.safetensors", "arrays.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64, struct.pack("<Q", 2) + b"{}"])
def test_a_part_of_another_kind_is_refused(tmp_path, part, content):
    manifest, parts = opened("logistic.dfe")
    refused(tmp_path, packed(manifest, {**parts, part: content}))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    from safetensors.numpy import load, save

    manifest, parts = opened("logistic.dfe")
    arrays = load(parts["parts/0.safetensors"])
    name = next(n for n, values in arrays.items() if values.dtype.kind == "f")
    arrays[name] = arrays[name] * float("nan")
    content = packed(manifest, {**parts, "parts/0.safetensors": save(arrays)})
    refused(tmp_path, content, f"{name} holds NaN")


def test_deep_nesting_is_refused(tmp_path):
    manifest, parts = opened("reals_alone.dfe")
    nested = {"list": []}
    for _ in range(400):
        nested = {"list": [nested]}
    content = packed({**manifest, "chosen_combiner": nested}, parts)
    loads_or_refuses(tmp_path, content)


def places(thing, path=()):
    """Yield where something stands in nested lists and dicts."""
    inside = thing.items() if isinstance(thing, dict) else enumerate(thing)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(manifest, rng):
    """Return a manifest with one place of it taken away, or something odd there."""
    manifest = copy.deepcopy(manifest)
    *path, last = rng.choice(list(places(manifest)))
    inside = manifest
    for key in path:
        inside = inside[key]
    if rng.random() < 0.2:
        del inside[last]
    else:
        inside[last] = copy.deepcopy(rng.choice(ODD))
    return manifest


def try_changed(tmp_path, name, n_files, seed=0):
    """Load files with one change each; return how many were loaded all the same."""
    rng, loaded = random.Random(seed), 0
    manifest, parts = opened(name)
    for _ in range(n_files):
        loaded += loads_or_refuses(tmp_path, packed(changed(manifest, rng), parts))
    return loaded


@pytest.mark.slow_after(1)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["reals_alone.dfe", "logistic.dfe"])
def test_a_change_anywhere_is_refused_or_harmless(tmp_path, name):
    assert try_changed(tmp_path, name, 25) < 25


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["reals_alone.dfe", "logistic.dfe", "auto.dfe"])
def test_many_changes_are_refused_or_harmless(tmp_path, name):
    assert try_changed(tmp_path, name, 400, seed=1) < 400


def test_a_rule_is_read_with_the_same_care(tmp_path):
    manifest, parts = opened("logistic.dfe")
    for rule in [None, {"own": "ScorePipeline"}, {"own": "ScorePipeline", "params": 3}]:
        content = packed({**manifest, "format": 3, "rule": rule}, parts)
        refused(tmp_path, content, load=ensemble.load)
        refused(tmp_path, content, load=ScorePipeline.load)


@pytest.mark.parametrize("versions", ["x", [1], None])
def test_versions_that_are_no_table_are_refused(versions, tmp_path):
    manifest, parts = opened("logistic.dfe")
    content = packed({**manifest, "versions": versions}, parts)
    refused(tmp_path, content, "its versions are no table")
