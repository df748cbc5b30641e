"""A test of the whole way, in seconds: a clip is drawn, written, read and scored."""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ensemble.cli.commands.running.machine_checks import (
    OK,
    TROUBLE,
    MachineCheck,
    engines_here,
)

_N_FRAMES, _HEIGHT, _WIDTH = 24, 96, 128
_MOST_LOST = 8.0  # grey levels that H.264 may change a pixel by, in the mean
# Of the largest value, by which engines of fewer bits may differ from torch.
_OF_FEWER_BITS = {"bfloat16": 0.05, "int8": 0.1}
_SIDE = 64  # of what the network sees, pixels


def self_test() -> Iterator[MachineCheck]:
    """Write a clip, read it, look for faces, run a network, combine scores.

    Yields
    ------
    MachineCheck
        One a step; a step that fails is in trouble and ends the test.
    """
    with tempfile.TemporaryDirectory(prefix="deepfake-ensemble-") as folder:
        things = {"folder": Path(folder)}
        for name, step in _steps():
            began = time.perf_counter()
            try:
                found = step(things)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                yield MachineCheck("self-test", name, TROUBLE, said)
                return
            seconds = time.perf_counter() - began
            yield MachineCheck("self-test", name, OK, f"{found}, {seconds:.1f} s")


def drawn_clip() -> np.ndarray:
    """Return a clip that needs no footage: a bright spot that moves over a gradient.

    Returns
    -------
    ndarray of shape (24, 96, 128, 3)
        RGB uint8.

    Examples
    --------
    >>> from ensemble.cli.commands.running.self_test import drawn_clip
    >>> drawn_clip().shape
    (24, 96, 128, 3)
    """
    rows, columns = np.indices((_HEIGHT, _WIDTH))
    clip = np.zeros((_N_FRAMES, _HEIGHT, _WIDTH, 3), np.uint8)
    for number, frame in enumerate(clip):
        spot = (rows - 48) ** 2 + (columns - 16 - 4 * number) ** 2
        frame[..., 0] = rows
        frame[..., 1] = columns
        frame[..., 2] = 200 * np.exp(-spot / 200)
    return clip


def _written(things):
    from base_models import write_video

    things["video"] = things["folder"] / "clip.mp4"
    write_video(things["video"], drawn_clip(), fps=24)
    return f"H.264, {things['video'].stat().st_size} bytes"


def _read(things):
    from base_models import sample_frames

    things["frames"] = sample_frames(things["video"], None)
    _check_frames(things["frames"])
    return f"{_N_FRAMES} frames as they were drawn"


def _read_apart(things):
    from base_models import clear_caches, reading_limits, sample_frames

    with reading_limits(isolation="process"):
        frames = sample_frames(things["video"], None)
        np.testing.assert_array_equal(frames, things["frames"])
    clear_caches()
    return "the same frames from a process of its own"


def _check_frames(frames):
    drawn = drawn_clip()
    if frames.shape != drawn.shape:
        raise ValueError(f"read {frames.shape}, and {drawn.shape} was written")
    lost = np.abs(frames.astype(float) - drawn).mean()
    if lost > _MOST_LOST:
        raise ValueError(f"frames differ by {lost:.1f} grey levels from those written")


def _looked_for_faces(things):
    from base_models import DlibFaceFinder

    faces = DlibFaceFinder().find(things["frames"][0])
    return f"dlib ran, {len(faces)} in a drawing"


def _run(engine: str) -> Callable[[dict], str]:
    def run(things):
        import torch

        from base_models import Store
        from base_models.inference.engines import TOLERANCE, run_frozen
        from base_models.inference.int8 import find_ranges
        from base_models.networks.backbones import build_network
        from base_models.networks.preprocessing import backbone_recipe

        if "network" not in things:
            torch.manual_seed(0)
            network = build_network("resnet18", None).eval()
            torch.nn.init.normal_(network.head.weight, std=0.01)
            things["network"] = network
        images = things["frames"][:8, :_SIDE, :_SIDE]
        network, recipe = things["network"], backbone_recipe("resnet18", _SIDE, "rgb")
        store, ranges = Store(things["folder"] / "store"), None
        if engine == "int8":
            ranges = find_ranges(network, recipe, images, 1, store)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # that torch runs it instead
            logits = run_frozen(
                network, recipe, images, engine, 1, "cpu", store, ranges
            )
        expected = things.setdefault("logits", logits)
        far = np.abs(logits - expected).max() / np.abs(expected).max()
        if not far <= _OF_FEWER_BITS.get(engine, TOLERANCE):
            raise ValueError(f"differs from torch by {far:.2g} of its largest value")
        if engine in _OF_FEWER_BITS:
            return f"{far:.1g} of the largest value from torch"
        return "a ResNet-18" if engine == "torch" else "equal to torch"

    return run


def _combined(things):
    from ensemble.combiners import Voting

    scores = np.array([[0.1, 0.2], [0.3, 0.2], [0.8, 0.9], [0.6, 0.9]])
    fake = Voting().fit(scores, [0, 0, 1, 1]).fake_score(scores)
    if not (fake[:2] < fake[2:]).all():
        raise ValueError(f"scores are in the wrong order: {fake}")
    return "scores in their order"


def _steps() -> Iterator[tuple[str, Callable[[dict], str]]]:
    yield "writing", _written
    yield "reading", _read
    if os.name == "posix":
        yield "reading apart", _read_apart
    yield "faces", _looked_for_faces
    for engine in engines_here():
        yield engine, _run(engine)
    yield "combining", _combined
