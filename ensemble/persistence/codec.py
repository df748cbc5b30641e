"""How the parts of a saved ensemble are encoded: JSON, safetensors, skops in a zip.

``manifest.json`` says what the ensemble is, with versions and the SHA-256 of every
other part, and of itself; arrays and networks are safetensors; scikit-learn models are
skops, read with its built-in list of trusted types and nothing else. Nothing
executable is inside.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as decode_arrays, save as encode_arrays
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator

from base_models.errors import ArtifactError
from base_models.limits import check_zip
from base_models.plugins import (
    COMBINERS as OTHER_COMBINERS,
    DETECTORS as OTHER_DETECTORS,
)
from base_models.runtime.file_digest import json_digest
from base_models.runtime.file_writing import replacing
from base_models.runtime.named_file import (
    NamedFile,
    holding_all_weights,
    without_files,
)
from ensemble.combiners.base import Combiner
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.record import file_of
from ensemble.persistence.classes import (
    DETECTORS,
    OURS,
    declared_class,
    declared_name,
    saved_class,
    saved_name,
    wanted_package,
)
from ensemble.persistence.parts import OWN_DIGEST, read_parts, reading_part
from ensemble.persistence.signature import secret, signature

FORMAT = 2  # classes by their public names; 1 named their modules too
RULE_FORMAT = 3  # a rule on scores alone, which releases before it cannot read
READ = (1, FORMAT, RULE_FORMAT)
_MOST_TEXT = 2**30  # bytes of an array of text


class Writer:
    """Turns objects into JSON, and what JSON cannot hold into parts of the file."""

    def __init__(self) -> None:
        self.parts, self.arrays = {}, {}

    def encode(self, thing: object) -> Any:
        if isinstance(thing, np.generic):
            thing = thing.item()
        if thing is None or isinstance(thing, (bool, int, float, str)):
            return thing
        if isinstance(thing, NamedFile):
            return thing.name
        if isinstance(thing, os.PathLike):
            return os.fspath(thing)
        if isinstance(thing, np.ndarray):
            if thing.dtype.kind in "OUS":
                return {
                    "strings": self.encode(thing.tolist()),
                    "dtype": thing.dtype.str,
                }
            name = str(len(self.arrays))
            self.arrays[name] = np.asarray(thing, order="C")
            return {"array": name}
        if isinstance(thing, (list, tuple)):
            kind = "tuple" if isinstance(thing, tuple) else "list"
            return {kind: [self.encode(value) for value in thing]}
        if isinstance(thing, dict):
            pairs = [[self.encode(k), self.encode(v)] for k, v in thing.items()]
            return {"dict": pairs}
        declared = declared_name(type(thing), OTHER_COMBINERS)
        if isinstance(thing, Combiner) and declared:
            return self.given(thing) | {"plugin": declared}
        if name := saved_name(type(thing), OURS):
            state = {k: v for k, v in vars(thing).items() if k not in params_of(thing)}
            if hasattr(thing, "get_state"):  # kept by whoever holds it
                state = {}
            return {
                "own": name,
                "params": self.encode(params_of(thing)),
                "state": self.encode(state),
            }
        if isinstance(thing, Combiner):  # of a class of the user's
            return self.given(thing)
        if isinstance(thing, BaseEstimator):
            return {"skops": self.skops(thing)}
        raise ArtifactError(
            f"{type(thing).__module__}.{type(thing).__qualname__} cannot be saved: "
            "only our own and scikit-learn's objects are kept, so that loading runs no "
            "foreign code"
        )

    def given(self, combiner: Any) -> Any:
        """Describe a combiner whose code is not ours, and comes back at `load`."""
        params = params_of(combiner)
        state = {k: v for k, v in vars(combiner).items() if k not in params}
        try:
            return {
                "given": type(combiner).__qualname__,
                "params": self.encode(params),
                "state": self.encode(state),
            }
        except ArtifactError as error:
            raise ArtifactError(
                f"combiner {type(combiner).__qualname__} cannot be saved: {error}; let "
                "it keep what it learned in numbers, texts, arrays, lists and dicts of "
                "them, and in scikit-learn's models"
            ) from error

    def skops(self, estimator: Any) -> Any:
        skops = _skops()
        content = skops.dumps(estimator)
        foreign = skops.get_untrusted_types(data=content)
        if foreign:
            raise ArtifactError(
                f"{type(estimator).__name__} cannot be saved: it holds "
                f"{', '.join(foreign)}, and loading runs no foreign code"
            )
        return self.part("skops", content)

    def part(self, suffix: Any, content: Any) -> Any:
        name = f"parts/{len(self.parts)}.{suffix}"
        self.parts[name] = content
        return name

    def detector(self, detector: Any, prefit: bool = False) -> Any:
        """Describe a fitted detector; its user's code is left to `load`."""
        if isinstance(detector, FrozenEstimator):
            return {"frozen": self.detector(detector.estimator, prefit=True)}
        prefit = prefit or is_prefit(detector)
        record = {"class": type(detector).__qualname__, "prefit": is_prefit(detector)}
        if hasattr(detector, "get_state"):
            meta, arrays = detector.get_state()
            record |= {
                "meta": meta,
                "arrays": self.part("safetensors", encode_arrays(arrays)),
            }
        with contextlib.suppress(ArtifactError):  # `load` will ask for it by name
            name = saved_name(type(detector), DETECTORS)
            declared = declared_name(type(detector), OTHER_DETECTORS)
            if name and hasattr(detector, "get_state"):
                params = {**detector.get_params(deep=False), "store": None}
                record["params"] = self.encode(params)
                record["own"] = name
            elif declared and hasattr(detector, "get_state"):
                params = {**detector.get_params(deep=False), "store": None}
                if "store" not in detector.get_params(deep=False):
                    del params["store"]
                record["params"] = self.encode(params)
                record["plugin"] = declared
            elif isinstance(detector, BaseEstimator):
                record["skops"] = self.skops(detector)
        if not (prefit or _keeps_itself(detector) or "skops" in record):
            record["state"] = self.learned(detector)
        return record

    def learned(self, detector: Any) -> Any:
        """Return the attributes of a detector that says nothing of its state."""
        name, params = type(detector).__qualname__, params_of(detector)
        state = {k: v for k, v in vars(detector).items() if k not in params}
        try:
            if not state:
                raise ArtifactError("it has no attribute of its own that `fit` has set")
            return self.encode(state)
        except ArtifactError as error:
            raise ArtifactError(
                f"detector {name} cannot be saved: {error}; let it keep what it "
                "learned in numbers, texts, arrays, lists and dicts of them, and in "
                "scikit-learn's models, or give it get_state and set_state"
            ) from error

    def write(self, manifest: Any, path: str | Path, key: bytes | None = None) -> None:
        self.parts["arrays.safetensors"] = encode_arrays(self.arrays)
        manifest["sha256"] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in self.parts.items()
        }
        manifest[OWN_DIGEST] = json_digest(manifest)
        with (
            replacing(path) as unfinished,
            zipfile.ZipFile(unfinished, "w") as archive,
        ):
            text = json.dumps(manifest, indent=1).encode()
            archive.writestr(zipfile.ZipInfo("manifest.json"), text)
            if key is not None:
                archive.comment = signature(text, key)
            for name, content in self.parts.items():
                archive.writestr(zipfile.ZipInfo(name), content)


class Reader:
    """Turns the JSON and the parts of a file back into objects."""

    def __init__(
        self,
        path: str | Path,
        device: Any = None,
        files: Any = None,
        combiners: Any = None,
        key: bytes | str | Path | None = None,
    ) -> None:
        self.path, self.device = path, device
        self.files, self.named = dict(files or {}), set()
        self.combiners = dict(combiners or {})
        self.file = file_of(path)  # as it is before it is read
        self.manifest, self.parts = read_parts(path, READ, secret(key))
        with reading_part(path, "its arrays"):
            self.arrays = decode_arrays(self.parts["arrays.safetensors"])

    def decode(self, thing: object) -> Any:
        if not isinstance(thing, dict):
            return thing
        if "array" in thing:
            return self.arrays[thing["array"]]
        if "strings" in thing:
            return self.strings(self.decode(thing["strings"]), thing["dtype"])
        if "list" in thing:
            return [self.decode(value) for value in thing["list"]]
        if "tuple" in thing:
            return tuple(self.decode(value) for value in thing["tuple"])
        if "dict" in thing:
            return {self.decode(k): self.decode(v) for k, v in thing["dict"]}
        if "skops" in thing:
            return self.skops(thing["skops"])
        if "given" in thing:
            made = self.given(thing)
        else:
            made = self.own(thing["own"], thing["params"], OURS)
        return self.restored(made, thing["state"])

    def restored(self, made: Any, state: Any) -> Any:
        """Return an object with the attributes that `fit` had set."""
        state = self.decode(state)
        for name in state:
            if name in params_of(made) or hasattr(type(made), name):
                raise ArtifactError(
                    f"{self.path} would set {name!r} of a {type(made).__name__}, which "
                    "no fit does; the file is damaged or forged"
                )
        vars(made).update(state)
        return made

    def strings(self, values: list, dtype: str) -> np.ndarray:
        """Return an array of text, of a width that its text may need."""
        kind = np.dtype(dtype)
        if kind.kind not in "OUS" or len(values) * kind.itemsize > _MOST_TEXT:
            raise ArtifactError(
                f"{self.path} would make {len(values)} texts of type {kind}, and "
                f"{_MOST_TEXT:,} bytes of them are allowed"
            )
        return np.array(values, dtype=kind)

    def given(self, thing: object) -> Any:
        """Return a combiner of another's class with the parameters of the file."""
        name, declared = thing["given"], thing.get("plugin")
        found = self.combiners.get(name)
        if found is None and (cls := declared_class(declared, OTHER_COMBINERS)):
            return self.made(cls, thing["params"])
        if found is None:
            raise ArtifactError(
                f"{self.path} cannot hold the code of its combiner, a {name}; give an "
                f"unfitted one: load(path, combiners={{{name!r}: {name}(...)}})"
                f"{wanted_package(declared)}"
            )
        if type(found).__qualname__ != name:
            raise ArtifactError(
                f"the combiner was a {name}; got a {type(found).__qualname__}"
            )
        params = without_files(self.decode(thing["params"]), self.files)
        made = clone(found)
        unknown = params.keys() - params_of(made)
        if unknown:
            raise ArtifactError(
                f"the {name} that was saved had {', '.join(sorted(unknown))}, which "
                "the one that was given does not take"
            )
        return made.set_params(**params)

    def own(self, name: str, params: dict[Any, Any], classes: Any) -> Any:
        """Make an object of ours that uses no path, store or device of the file."""
        return self.made(saved_class(name, classes, self.path), params)

    def made(self, cls: type, params: dict[Any, Any]) -> Any:
        params = self.decode(params)
        self.named |= {value for value in params.values() if isinstance(value, str)}
        params = without_files(params, self.files)
        for former in getattr(cls, "former_parameters", ()):
            params.pop(former, None)
        if "store" in params:
            params["store"] = None
        if "device" in params:
            params["device"] = self.device
        return cls(**params)

    def check_files(self) -> None:
        """Refuse files that were given for names that are not in the model."""
        unknown = self.files.keys() - self.named
        if unknown:
            raise ValueError(
                f"files gives {', '.join(map(repr, sorted(unknown)))}, which "
                f"{self.path} does not name; write each name as the model's parameters "
                "show it"
            )

    def skops(self, part: Any) -> Any:
        content = self.parts[part]
        with reading_part(self.path, part):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                check_zip(archive)
            estimator = _skops().loads(content, trusted=[])
        for name, value in params_of(estimator, deep=True).items():
            # Where a scikit-learn pipeline keeps what it computed: a folder.
            if name.rpartition("__")[2] == "memory" and value is not None:
                estimator.set_params(**{name: None})
        return estimator

    def detector(self, record: Any, name: str, given: Any, fitted: Any = False) -> Any:
        if "frozen" in record:
            if isinstance(given, FrozenEstimator):
                given = given.estimator
            return FrozenEstimator(self.detector(record["frozen"], name, given, True))
        fitted = fitted or record.get("prefit", False)
        if "skops" in record:
            return self.skops(record["skops"])
        if "own" in record:
            detector = self.own(record["own"], record["params"], DETECTORS)
        elif given is None and (
            cls := declared_class(record.get("plugin"), OTHER_DETECTORS)
        ):
            detector = self.made(cls, record["params"])
        elif given is None:
            raise ArtifactError(
                f"{self.path} cannot hold the code of detector {name!r}, a "
                f"{record['class']}; pass it {'as it is' if fitted else 'unfitted'}: "
                f"load(path, detectors={{{name!r}: {record['class']}(...)}}), or "
                "install a package that declares it"
                f"{wanted_package(record.get('plugin'))}"
            )
        elif type(given).__qualname__ != record["class"]:
            raise ArtifactError(
                f"detector {name!r} was a {record['class']}; got a "
                f"{type(given).__qualname__}"
            )
        else:
            detector = given if fitted and "arrays" not in record else clone(given)
        if "arrays" in record:
            with reading_part(self.path, f"what detector {name!r} learned"):
                arrays = decode_arrays(self.parts[record["arrays"]])
                _check_numbers(arrays)
                with holding_all_weights():
                    return detector.set_state(record["meta"], arrays)
        if "state" in record:
            return self.restored(detector, record["state"])
        if hasattr(detector, "function"):  # nothing was learned: two labels
            detector.classes_ = np.array([0, 1])
        return detector


def _keeps_itself(detector):
    """Whether a detector says what it learned, or learns nothing: a function."""
    return hasattr(detector, "get_state") or hasattr(detector, "function")


def _check_numbers(arrays):
    for name, values in arrays.items():
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"{name} holds NaN")


def _skops():
    """Return skops.io, imported without torch.

    It walks through all of scikit-learn, and so through a wrapper that imports torch
    where it is installed: seconds, for what scores in microseconds.
    """
    wrapper = "sklearn.externals.array_api_compat.torch"
    blocked = "skops.io" not in sys.modules and wrapper not in sys.modules
    if blocked:
        sys.modules[wrapper] = None  # its import fails, and is passed over
    try:
        return importlib.import_module("skops.io")
    finally:
        if blocked:
            del sys.modules[wrapper]


def params_of(estimator: Any, deep: bool = False) -> dict:
    """Return the parameters of an estimator; none of what is no estimator."""
    return estimator.get_params(deep=deep) if hasattr(estimator, "get_params") else {}
