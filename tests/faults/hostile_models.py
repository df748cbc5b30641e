"""Hostile saved models (.dfe): changed by hand with right checksums, and damaged ones.

Right is an `ArtifactError` that names the file. A file with right checksums may also
load: then it answers for the rows that it holds. One whose bytes were damaged may load
only where it answers as the whole one does.
"""

import copy
import functools
import io
import json
import random
import struct
import zipfile
from pathlib import Path

from hostile import DAMAGE, Tricks, tried
from hostile_archives import forgeries, opened, packed, places, value_at
from trials import each_in_process

SAVED = Path(__file__).resolve().parents[1] / "saved_models" / "version_1"
FILES = ("reals_alone.dfe", "logistic.dfe", "rule.dfe", "auto.dfe")
ODD = [
    None,
    True,
    False,
    -1,
    0,
    1.5,
    2**70,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "a" * 3000,
    "../x",
    "/etc/passwd",
    "\0",
    "\u202e",
    "<script>",
    "{{7*7}}",
    [],
    {},
    [[]],
    [None] * 3,
    {"own": "Voting"},
    {"own": "os:system", "params": {}, "state": {}},
    {"own": "builtins:exec", "params": {"dict": []}, "state": {"dict": []}},
    {"array": "99"},
    {"array": "0"},
    {"skops": "manifest.json"},
    {"dict": [[1]]},
    {"tuple": 3},
    {"strings": {"list": ["a"]}, "dtype": "<U900000000"},
    {"strings": {"list": ["a"]}, "dtype": "O"},
    {"given": "Mine"},
]
edits = Tricks()  # of (manifest, parts), whose checksums are written anew


def models(n, seed, folder):
    """Try saved models."""
    marker = folder / "executed"
    _write_rule(folder / "rule.dfe")
    tricks = Tricks({**edits, **forgeries, **DAMAGE})
    trial = functools.partial(_trial, folder, marker)
    return each_in_process(
        trial,
        tricks.cases(n, seed),
        seconds=30,
        mib=700,
        marker=marker,
        warm=functools.partial(_warm, folder),
    )


def _write_rule(path):
    import pandas as pd

    from ensemble import ScorePipeline

    scores = pd.DataFrame(
        {"a": [0.1, 0.2, 0.8, 0.9] * 5, "b": [0.3, 0.1, 0.7, 0.6] * 5}
    )
    ScorePipeline("logistic", n_boot=5).fit(scores, [0, 0, 1, 1] * 5, range(20)).save(
        path
    )


def _warm(folder):
    import warnings

    import ensemble

    warnings.simplefilter("ignore")
    for name in FILES:
        _answer(ensemble.load(_place(folder, name)))


def _place(folder, name):
    return folder / name if name == "rule.dfe" else SAVED / name


def _answer(model):
    import numpy as np
    import pandas as pd

    if hasattr(model, "judge_scores"):
        judged = model.judge_scores(model.oof_scores_.iloc[:8])
        str(model.card_)
    else:
        names = list(getattr(model, "feature_names_in_", ["a", "b"]))
        judged = model.judge(pd.DataFrame(np.full((4, len(names)), 0.3), columns=names))
        model.describe()
    return judged.to_json()


@functools.lru_cache
def _whole_answer(folder, name):
    import ensemble

    return _answer(ensemble.load(_place(folder, name)))


def _trial(folder, marker, case):
    import warnings

    import ensemble
    from base_models.errors import ArtifactError

    warnings.simplefilter("ignore")
    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    name = rng.choice(FILES)
    whole = _place(folder, name).read_bytes()
    path = folder / f"hostile-{seed}.dfe"
    if trick in DAMAGE:
        content = DAMAGE[trick](whole, rng)
    else:
        manifest, parts = opened(whole)
        if trick in edits:
            content = packed(*edits[trick](manifest, parts, rng, marker))
        else:
            content = forgeries[trick](manifest, parts, rng, marker)
    path.write_bytes(content)

    def read(path):
        model = ensemble.load(path, device="cpu")
        answer = _answer(model)
        if trick in DAMAGE and answer != _whole_answer(folder, name):
            return "other answer: damage that nobody noticed"
        return "right: answered"

    try:
        return tried(path, ArtifactError, read)
    finally:
        path.unlink()


@edits
def entry_replaced(manifest, parts, rng, marker):
    """Something odd in a place of the manifest, or several."""
    manifest = copy.deepcopy(manifest)
    for _ in range(rng.choice([1, 1, 1, 3])):
        *path, last = rng.choice(list(places(manifest)))
        value_at(manifest, path)[last] = copy.deepcopy(rng.choice(ODD))
    return manifest, parts


@edits
def entry_removed(manifest, parts, rng, marker):
    """A place of the manifest is gone."""
    *path, last = rng.choice(list(places(manifest)))
    del value_at(manifest, path)[last]
    return manifest, parts


@edits
def entries_swapped(manifest, parts, rng, marker):
    """Two places of the manifest change places."""
    one, other = rng.sample(list(places(manifest)), 2)
    first, second = (
        copy.deepcopy(value_at(manifest, one)),
        copy.deepcopy(value_at(manifest, other)),
    )
    try:
        value_at(manifest, one[:-1])[one[-1]] = second
        value_at(manifest, other[:-1])[other[-1]] = first
    except (LookupError, TypeError):  # one was inside of the other
        pass
    return manifest, parts


@edits
def keys_renamed(manifest, parts, rng, marker):
    """A name in the manifest is another one, of Python's own among them."""
    *path, last = rng.choice([p for p in places(manifest) if isinstance(p[-1], str)])
    inside = value_at(manifest, path)
    name = rng.choice(
        ["own", "skops", "state", "__class__", "__dict__", "x", "fit", ""]
    )
    inside[name] = inside.pop(last)
    return manifest, parts


@edits
def state_set(manifest, parts, rng, marker):
    """Attributes that no fit sets: methods, Python's own, the parameters."""
    owners = [p for p in places(manifest) if p[-1] == "state"]
    if owners:
        state = value_at(manifest, rng.choice(owners))
        name = rng.choice(
            ["__class__", "_fit", "predict_proba", "__dict__", "fit", "fake"]
        )
        if isinstance(state.get("dict"), list):
            state["dict"].append([name, copy.deepcopy(rng.choice(ODD))])
    return manifest, parts


@edits
def number_at_a_border(manifest, parts, rng, marker):
    """A number of the manifest is huge, negative, no number, or another type."""
    numbers = [
        p for p in places(manifest) if isinstance(value_at(manifest, p), (int, float))
    ]
    *path, last = rng.choice(numbers)
    value_at(manifest, path)[last] = rng.choice(
        [0, -1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), True, "1"]
    )
    return manifest, parts


@edits
def part_of_random_bytes(manifest, parts, rng, marker):
    """A part is something else, under a right checksum."""
    name = rng.choice(list(parts))
    content = rng.choice(
        [
            b"",
            b"\xff" * 64,
            struct.pack("<Q", 2) + b"{}",
            struct.pack("<Q", 2**62),
            rng.randbytes(200),
            bytes(10),
        ]
    )
    return manifest, {**parts, name: content}


@edits
def part_damaged(manifest, parts, rng, marker):
    """A part is damaged, under a right checksum."""
    name = rng.choice([name for name in parts if parts[name]])
    return manifest, {
        **parts,
        name: DAMAGE[rng.choice(sorted(DAMAGE))](parts[name], rng),
    }


@edits
def parts_swapped(manifest, parts, rng, marker):
    """Two parts change places: the network of another member."""
    one, other = rng.choice(list(parts)), rng.choice(list(parts))
    return manifest, {**parts, one: parts[other], other: parts[one]}


@edits
def arrays_of_another_type(manifest, parts, rng, marker):
    """Learned arrays of another type, shape, or with NaN and infinity in them."""
    import numpy as np
    from safetensors.numpy import load, save

    name = rng.choice([name for name in parts if name.endswith(".safetensors")])
    arrays = {key: value.copy() for key, value in load(parts[name]).items()}
    if arrays:
        key = rng.choice(sorted(arrays))
        values = arrays[key]
        change = rng.choice(
            ["nan", "inf", "int", "half", "empty", "long", "gone", "bool"]
        )
        if change in ("nan", "inf") and values.dtype.kind == "f" and values.size:
            values.reshape(-1)[rng.randrange(values.size)] = float(change)
        elif change == "gone":
            del arrays[key]
        elif change == "long":
            arrays[key] = np.concatenate([values.reshape(-1)] * 2)
        else:
            kinds = {"int": "i8", "half": "f2", "bool": "?"}
            arrays[key] = (
                values[:0]
                if change == "empty" and values.ndim
                else values.astype(kinds.get(change, "f8"))
            )
    return manifest, {**parts, name: save(arrays)}


@edits
def skops_names_functions(manifest, parts, rng, marker):
    """A scikit-learn part whose schema names functions to run and types to import."""
    target = rng.choice(
        [
            ("os", "system"),
            ("builtins", "exec"),
            ("subprocess", "Popen"),
            ("pathlib", "Path.touch"),
            ("numpy", "load"),
            ("operator", "methodcaller"),
            ("sklearn.utils", "_joblib"),
        ]
    )
    loader = rng.choice(
        [
            "FunctionNode",
            "TypeNode",
            "MethodNode",
            "ObjectNode",
            "PartialNode",
            "OperatorFuncNode",
            "ReduceNode",
            "TreeNode",
        ]
    )
    schema = {
        "__class__": target[1],
        "__module__": target[0],
        "__loader__": loader,
        "content": {
            "__class__": "dict",
            "__module__": "builtins",
            "__loader__": "DictNode",
            "content": {},
            "key_types": {},
            "args": str(marker),
        },
        "attrs": [str(marker)],
        "protocol": 0,
        "_skops_version": "0.11",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    parts = {**parts, "parts/99.skops": content.getvalue()}
    *path, last = rng.choice([p for p in places(manifest) if isinstance(p[-1], str)])
    value_at(manifest, path)[last] = {"skops": "parts/99.skops"}
    return manifest, parts


@edits
def pickle_as_a_part(manifest, parts, rng, marker):
    """A pickle that makes a file, under the names of parts."""
    payload = b"cposix\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    name = rng.choice([*parts, "parts/99.skops", "parts/99.pkl", "state.pickle"])
    manifest = {**manifest, "pickle": {"skops": name}}
    return manifest, {**parts, name: payload}


@edits
def combiner_of_an_unknown_class(manifest, parts, rng, marker):
    """Classes that no release has, or that are no part of a model."""
    owners = [p for p in places(manifest) if p[-1] == "own"]
    *path, last = rng.choice(owners)
    value_at(manifest, path)[last] = rng.choice(
        [
            "Nobody",
            "os:system",
            "ensemble.cli.app:main",
            "Store",
            "ScorePipeline",
            "DeepfakeEnsemble",
            "base_models:Store",
            "__import__",
            "Voting:x",
            "a:b:Voting",
        ]
    )
    return manifest, parts


@edits
def texts_as_code(manifest, parts, rng, marker):
    """Names that a page, a shell or a template might run."""
    texts = [p for p in places(manifest) if isinstance(value_at(manifest, p), str)]
    *path, last = rng.choice(texts)
    value_at(manifest, path)[last] = rng.choice(
        [
            f"$(touch {marker})",
            f"<img src=x onerror=touch({marker})>",
            "{{ 7*7 }}",
            f"`touch {marker}`",
            f"__import__('os').system('touch {marker}')",
            "%n%s%x",
            "a" * 100_000,
            "\x1b[2J",
            "\ud800",
        ]
    )
    return manifest, parts
