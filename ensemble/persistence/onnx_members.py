"""The networks of an ensemble's members as ONNX files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ensemble.reporting.outputs import Output, check_folder, check_outputs


def export_members(
    model: Any, folder: str | Path, int8: Any = False, calibrate: Any = None
) -> tuple[dict[str, dict[Any, Any]], dict[str, str]]:
    """Write the network of each member of an ensemble to an ONNX file.

    The combiner is not in the files: they give each member's P(fake) of images, and a
    JSON beside each says how images are made of a video and scores pooled.

    Parameters
    ----------
    model : DeepfakeEnsemble or detector
        Fitted.
    folder : str or Path
        Gets ``<member>.onnx`` and ``<member>.json``; a member that averages several
        networks gives ``<member>_1.onnx``, ``<member>_2.onnx``, ..., one that chooses
        among them by compression ``<member>_c23.onnx``, ...
    int8, calibrate
        As for `base_models.export_onnx`.

    Returns
    -------
    cards : dict of str to dict
        Of each file, without its ending, what `base_models.export_onnx` returns.
    skipped : dict of str to str
        Why a member gives no file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import CallableDetector, FrameDetector
    >>> from ensemble import DeepfakeEnsemble, export_members
    >>> shades = np.arange(20, 180, 20)
    >>> videos = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in shades]
    >>> def bright(videos):
    ...     return [video.mean() / 255 for video in videos]
    >>> network = FrameDetector(
    ...     "test_resnet", "frame", "head", weights=None, image_size=32, n_frames=2
    ... )
    >>> model = DeepfakeEnsemble([network, CallableDetector(bright)], resampling=2)
    >>> model = model.fit(videos, shades > 100, groups=range(8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cards, skipped = export_members(model, folder)
    >>> list(cards), skipped["bright"]
    (['test_resnet_frame'], 'a CallableDetector holds no network of single images')
    """
    from base_models.export.onnx import check_installed, export_onnx, image_network

    check_installed()
    cards, skipped = {}, {}
    for name, detector in _networks(model):
        try:
            image_network(detector)
        except TypeError as error:
            skipped[name] = str(error)
            continue
        path = Path(folder, f"{name}.onnx")
        cards[name] = export_onnx(detector, path, int8, calibrate, name)
    if not cards:
        raise ValueError(
            "no member is a network of single images, there is nothing to export: "
            + "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        )
    return cards, skipped


def check_exported(
    onnx: Path, model: Any, int8: bool, inputs: Iterable[Path], overwrite: bool = False
) -> None:
    """Refuse files of an export that cannot be written or would destroy something.

    Parameters
    ----------
    onnx : Path
        The folder to write, or the ``.onnx`` file.
    model : DeepfakeEnsemble, detector or None
        None, before it is opened, checks what does not depend on its members.
    int8 : bool
        Whether a version of 8 bits is written beside each file.
    inputs : iterable of Path
        The model, and the videos to calibrate with.
    overwrite : bool, default=False
        See `ensemble.reporting.outputs.check_outputs`.
    """
    files = [onnx]
    if onnx.suffix != ".onnx":
        check_folder("--onnx", onnx)
        names = [] if model is None else [name for name, _ in _networks(model)]
        files = [Path(onnx, f"{name}.onnx") for name in names]
    outputs = []
    for file in files:
        outputs += [
            Output("--onnx", file, "onnx"),
            Output("--onnx", file.with_suffix(".json"), "card", ("weights_sha256",)),
        ]
        of_8_bits = file.with_suffix(".int8.onnx")
        if int8:
            outputs.append(Output("--onnx", of_8_bits, "onnx"))
        elif of_8_bits.exists():
            raise FileExistsError(
                f"{of_8_bits} is of an earlier export, and would lie beside another "
                "network, which it is not: delete it, export with --int8, or give "
                "another place"
            )
    check_outputs(outputs, inputs, overwrite)


def _networks(model):
    """Name a file for every detector that may hold a network, inside members too.

    A name may be of others, in a model that was loaded: it must not lead elsewhere.
    """
    taken = set()
    for name, detector in _named_parts(model):
        plain = re.sub(r"[^\w.() -]+", "_", str(name)).strip(". ")[-100:] or "member"
        file, number = plain, 1
        while file.lower() in taken:
            number += 1
            file = f"{plain}_{number}"
        taken.add(file.lower())
        yield file, detector


def _named_parts(model):
    named = getattr(model, "detectors_", None)
    for name, found in ({str(model): model} if named is None else named).items():
        if isinstance(found, list):
            for number, detector in enumerate(found, start=1):
                yield from _parts(f"{name}_{number}", detector)
        else:
            yield from _parts(name, found)


def _parts(name, detector):
    from base_models import CompressionRouter

    if isinstance(detector, CompressionRouter):
        for level, member in detector.fitted_members().items():
            yield f"{name}_{level}", member
    else:
        yield name, detector
