"""A fitted detector's network as one ONNX file that needs nothing of ours to run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from base_models.detectors.bases.network import NetworkDetector
from base_models.detectors.prefit import fixture_images
from base_models.export.quantize import quantize
from base_models.inference.onnx_graph import Prepared, traced_graph
from base_models.networks.forward import place
from base_models.networks.preprocessing import Preprocessing
from base_models.networks.weights import state_digest
from base_models.runtime.devices import fixed_threads
from base_models.runtime.file_writing import replacing
from base_models.scoring.pooling import pool_scores
from base_models.store.store import resolve_store
from base_models.views.collection import Views

TOLERANCE = 1e-4  # of P(fake), between the file and torch
_FORMAT = 1
_N_CALIBRATING = 128  # images


def export_onnx(
    detector: Any,
    path: str | PathLike,
    int8: bool = False,
    calibrate: Sequence | None = None,
    name: str | None = None,
) -> dict:
    """Write a detector's network to an ONNX file, with its preprocessing.

    The file takes ``images``, uint8 RGB (n_images, H, W, 3), and gives ``fake``,
    float32 (n_images,), P(fake) of each. What those images are (whole frames or face
    crops, how cut and how many) and how their scores become the video's is stated in
    the file's metadata and in a JSON beside it (``model.onnx`` and ``model.json``).
    Before anything is written the answers are compared with torch's.

    Parameters
    ----------
    detector : FrameDetector, PrefitDetector or TorchDetector
        Fitted.
    path : str or Path
        The file, ``.onnx``.
    int8 : bool, default=False
        Also write it with weights and activations of 8 bits (``model.int8.onnx``), and
        how far its scores are from torch's. Networks of convolutions need `calibrate`,
        from which the ranges of their activations are taken; those that are mostly
        matrix products (transformers) measure them as they run.
    calibrate : sequence of videos or None, default=None
        Every other one sets the ranges, the rest measure the drift.
    name : str or None, default=None
        What the network is called in the metadata; None is the detector's own name.

    Returns
    -------
    dict
        What the JSON holds; ``largest_difference`` is that of P(fake) to torch's,
        ``int8`` what was measured of the quantised file, and ``sha256`` of each file
        tells a JSON that belongs to other files.

    Raises
    ------
    TypeError
        If the detector holds no network of single images.
    ValueError
        If the answers differ from torch's by more than 1e-4, or there is nothing to
        calibrate with.
    ImportError
        If onnx and onnxruntime are not both installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import TorchDetector, export_onnx
    >>> module = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(),
    ...                              torch.nn.Linear(3, 1))
    >>> videos = [np.full((8, 16, 16, 3), shade, np.uint8) for shade in (40, 200)]
    >>> detector = TorchDetector(module, "frame", train="none", image_size=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = export_onnx(detector.fit(videos, [0, 1]), f"{folder}/tiny.onnx")
    >>> card["input"]["shape"], card["largest_difference"] < 1e-4
    (['n_images', 16, 16, 3], True)
    """
    check_installed()
    detector = image_network(detector)
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"the file must end with .onnx; got {path}")
    place(detector.module_, torch.device("cpu"))
    whole = Prepared(FakeProbability(detector.module_), _preparation(detector)).eval()
    if calibrate is None or len(calibrate) == 0:
        views = None
    else:
        views = _Looks(detector, calibrate)
    images = _sample_images(detector.recipe_)
    dynamic = _is_mostly_products(whole, images[:1])
    if int8 and views is None and not dynamic:
        raise ValueError(
            f"{detector}: int8 of a network of convolutions needs the ranges of its "
            "activations: give videos to calibrate with (--calibrate VIDEOS)"
        )
    expected = _by_torch(whole, images)
    with fixed_threads(1):
        model = traced_graph(whole, torch.from_numpy(images[:2]), "images", "fake")
    difference = float(np.abs(run_onnx(model, images) - expected).max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{detector}: P(fake) of the ONNX network differs from torch's by "
            f"{difference:.2g}, more than {TOLERANCE:g}; nothing was written"
        )
    card = _card(detector, name or str(detector), model, difference)
    contents = {}
    if int8:
        shown = None if views is None or dynamic else views.calibrating()
        small = quantize(model, shown)
        card["int8"] = {
            "file": f"{path.stem}.int8.onnx",
            "kind": "dynamic" if shown is None else "static",
            "calibration_images": 0 if shown is None else len(shown),
            **_drift(whole, small, views, images, detector.pooling),
        }
        contents[path.with_suffix(".int8.onnx")] = _stating(small, card)
    contents[path] = _stating(model, card)
    known = {"file": path.name, **card, "sha256": _sha256(contents)}
    with ExitStack() as all_written:  # the JSON is the first to be replaced
        for file, content in contents.items():
            all_written.enter_context(replacing(file)).write_bytes(content)
        unfinished = all_written.enter_context(replacing(path.with_suffix(".json")))
        unfinished.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    return known


def image_network(detector: Any) -> Any:
    """Return the detector whose network can be exported, out of what wraps it.

    Parameters
    ----------
    detector : detector
        Fitted.

    Returns
    -------
    NetworkDetector

    Raises
    ------
    TypeError
        If it holds no network of single images.
    """
    if isinstance(detector, FrozenEstimator):
        detector = detector.estimator
    if not isinstance(detector, NetworkDetector):
        raise TypeError(
            f"a {type(detector).__name__} holds no network of single images"
        )
    check_is_fitted(detector)
    return detector


def check_installed() -> None:
    """Refuse to go on where the packages that write and run ONNX are missing."""
    missing = [p for p in ("onnx", "onnxruntime") if not importlib.util.find_spec(p)]
    if missing:
        raise ImportError(
            f"exporting needs {' and '.join(missing)}, which cannot be found: "
            "pip install 'deepfake-ensemble[onnx]'"
        )


def run_onnx(model: Any, images: np.ndarray, n_threads: int = 1) -> np.ndarray:
    """Run an exported network by ONNX Runtime.

    Parameters
    ----------
    model : onnx.ModelProto, str or Path
        Itself, or its file.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8.
    n_threads : int, default=1

    Returns
    -------
    ndarray of shape (n_images,)
        P(fake).
    """
    from base_models.inference.onnxruntime import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    content = str(model) if isinstance(model, (str, Path)) else None
    session = onnxruntime.InferenceSession(
        content or model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    parts = [images[start : start + 8] for start in range(0, len(images), 8)]
    return np.concatenate([session.run(None, {"images": part})[0] for part in parts])


class FakeProbability(nn.Module):
    """P(fake) from a network of two logits, real and fake.

    Parameters
    ----------
    network : torch.nn.Module

    Examples
    --------
    >>> import torch
    >>> from base_models.export.onnx import FakeProbability
    >>> FakeProbability(torch.nn.Identity())(torch.tensor([[1.0, 1.0]]))
    tensor([0.5000])
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Any) -> Any:
        logits = self.network(images)
        return torch.sigmoid(logits[:, 1] - logits[:, 0])


class _Looks:
    """Images of videos as a detector sees them: some to calibrate, others to judge."""

    def __init__(self, detector, videos):
        self.views = Views(videos, detector.recipe_, resolve_store(detector.store))
        rows = [row for row, reason in enumerate(self.views.reasons) if not reason]
        if not rows:
            raise ValueError(
                f"none of the {len(videos)} videos to calibrate with can be looked at; "
                f"of the first: {self.views.reasons[0]}"
            )
        self.shown, self.judging = rows[::2], rows[1::2] or rows
        self.apart = len(rows) > 1

    def calibrating(self):
        """Images spread over the videos that set the ranges."""
        rows = self.shown[:: -(-len(self.shown) // _N_CALIBRATING)]
        each = -(-_N_CALIBRATING // len(rows))
        some = []
        for row in rows:
            images = self.views[row].images
            some.append(images[:: -(-len(images) // each)])
        return np.concatenate(some)[:_N_CALIBRATING]


def _preparation(detector):
    made = detector._preparation()
    return made.normalise if isinstance(made, Preprocessing) else made


def _sample_images(recipe):
    noise = np.random.default_rng(0).integers(
        0, 256, (5, *recipe.image_shape), np.uint8
    )
    made = fixture_images(recipe.image_size)
    if recipe.clip_length > 1:
        made = np.stack(
            [np.roll(made, n, axis=2) for n in range(recipe.clip_length)], 1
        )
    return np.concatenate([made, noise])  # more than one batch


@torch.inference_mode()
def _by_torch(whole, images):
    parts = [images[start : start + 8] for start in range(0, len(images), 8)]
    with fixed_threads(1):
        outputs = [whole(torch.tensor(part)).numpy() for part in parts]
    return np.concatenate(outputs)


def _is_mostly_products(whole, images):
    work = {nn.Conv2d: 0, nn.Linear: 0}

    def count(layer, _, output):
        kind = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
        work[kind] += output.numel() * layer.weight[0].numel()

    hooks = [
        layer.register_forward_hook(count)
        for layer in whole.modules()
        if isinstance(layer, tuple(work))
    ]
    try:
        _by_torch(whole, images)
    finally:
        for hook in hooks:
            hook.remove()
    return work[nn.Linear] > work[nn.Conv2d]


def _card(detector, name, model, difference):
    recipe, prepared = detector.recipe_, detector._preparation()
    size = recipe.image_size
    return {
        "format": _FORMAT,
        "name": name,
        "network": getattr(detector, "backbone", None)
        or (getattr(detector, "card", None) or {}).get("backbone")
        or type(detector.module_).__name__,
        "weights_sha256": state_digest(detector.module_),
        "opset": model.opset_import[0].version,
        "input": {
            "name": "images",
            "type": "uint8",
            "shape": ["n_images", *recipe.image_shape],
            "color": "RGB",
        },
        "output": {
            "name": "fake",
            "type": "float32",
            "shape": ["n_images"],
            "meaning": "score of each image, 0 to 1: the higher, the more like a fake; "
            "not calibrated, and no probability where real videos alone were learned",
        },
        "preprocessing_inside": _preprocessing(prepared),
        "images": {
            "view": recipe.view,
            "frames": f"{recipe.n_frames}, spread evenly over the video"
            + (", moved to key frames near" if recipe.sampling != "even" else "")
            + (f", {recipe.clip_length} in a row" if recipe.clip_length > 1 else ""),
            "resize": f"Pillow's bilinear filter, to {size} x {size} pixels",
            **(_face_crop(recipe) if recipe.view == "face" else {}),
        },
        "pooling": (
            detector.pooling
            if isinstance(detector.pooling, str)
            else f"a function of its user, {getattr(detector.pooling, '__name__', '')}"
        ),
        "largest_difference": difference,
    }


def _preprocessing(prepared):
    if not isinstance(prepared, Preprocessing):
        return "the detector's own transform"
    if prepared.channels == "motion":
        return (
            "changes of the brightness from frame to frame "
            "(base_models.networks.residuals)"
        )
    if prepared.channels == "residual":
        return "high-pass residuals of the brightness (base_models.networks.residuals)"
    return {"scale": 1 / 255, "mean": list(prepared.mean), "std": list(prepared.std)}


def _face_crop(recipe):
    return {
        "faces": recipe.faces,
        "crop": f"square around the face box, {recipe.margin:g} times its larger side",
        "margin": recipe.margin,
        "align": recipe.align,
        "finder": f"{type(recipe.finder).__name__} {_plain(recipe.finder)}",
    }


def _plain(finder):
    try:
        return asdict(finder)
    except TypeError:
        return vars(finder)


def _drift(whole, small, views, images, pooling):
    """Measure how far int8's scores are from torch's, of images and of videos."""
    if views is None:
        got, expected = run_onnx(small, images), _by_torch(whole, images)
        found = {"measured_on": f"{len(images)} made images"}
    else:
        looks = (views.views[row].images for row in views.judging)
        both = [(run_onnx(small, images), _by_torch(whole, images)) for images in looks]
        got, expected = zip(*both, strict=True)
        videos = np.array(
            [[pool_scores(scores, pooling) for scores in pair] for pair in both]
        )
        apart = "not calibrated on" if views.apart else "calibrated on"
        found = {
            "measured_on": f"{len(videos)} videos, {apart}",
            "largest_of_videos": float(np.abs(videos[:, 0] - videos[:, 1]).max()),
            "other_side_of_half": int(((videos > 0.5).sum(axis=1) == 1).sum()),
        }
        got, expected = np.concatenate(got), np.concatenate(expected)
    difference = np.abs(got - expected)
    return {
        **found,
        "largest_of_images": float(difference.max()),
        "mean_of_images": float(difference.mean()),
    }


def _stating(model, card):
    """Return the bytes of a model with its card inside."""
    for key, value in card.items():
        prop = model.metadata_props.add()
        prop.key = key
        prop.value = value if isinstance(value, str) else json.dumps(value)
    return model.SerializeToString()


def _sha256(contents):
    return {
        file.name: sha256(content).hexdigest() for file, content in contents.items()
    }
