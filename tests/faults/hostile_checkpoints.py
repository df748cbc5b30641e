"""Hostile files of weights: PyTorch's pickles, safetensors, Keras' HDF5, ONNX.

Right is a `CheckpointError` that names the file, or a network whose weights are finite
numbers: these formats have no checksum, so that damage inside of a weight is another
weight. Of a PyTorch archive, which has checksums, they are those of the whole file.
"""

import functools
import random
from pathlib import Path

from hostile import DAMAGE, Tricks, tried
from hostile_pickles import LEGACY, in_zip, pth, text_of
from hostile_weights import h5, safetensors
from trials import each_in_process

onnx = Tricks()  # of (bytes of a whole file, rng, marker)
YUNET = Path(__file__).resolve().parents[3] / "shared" / "models" / "yunet"


def checkpoints_pth(n, seed, folder):
    """Try what ``torch.save`` might have written."""
    return _each("pth", n, seed, folder)


def checkpoints_safetensors(n, seed, folder):
    """Try safetensors, by themselves and in a folder with a card."""
    return _each("safetensors", n, seed, folder)


def checkpoints_h5(n, seed, folder):
    """Try Keras' weights."""
    return _each("h5", n, seed, folder)


def checkpoints_onnx(n, seed, folder):
    """Try ONNX files: as weights, as a saved model, as a face finder."""
    return _each("onnx", n, seed, folder)


_TRICKS = {"pth": pth, "safetensors": safetensors, "h5": h5, "onnx": onnx}


def _each(kind, n, seed, folder):
    marker = folder / "executed"
    _write_whole(folder)
    return each_in_process(
        functools.partial(_trial, kind, folder, marker),
        Tricks({**_TRICKS[kind], **DAMAGE}).cases(n, seed),
        seconds=30,
        mib=700,
        marker=marker,
        warm=functools.partial(_warm, kind, folder),
    )


def _write_whole(folder):
    """Write one network in each format."""
    import torch
    from safetensors.torch import save_file

    from base_models.backbones import build_network

    torch.manual_seed(0)
    state = build_network("mesonet4").state_dict()
    torch.save(state, folder / "whole.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(1, 1), folder / "module.pth")
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        folder / "whole.safetensors",
    )
    _write_keras(folder / "whole.h5")
    yunet = YUNET / "face_detection_yunet_2023mar.onnx"
    whole = yunet.read_bytes() if yunet.is_file() else _small_onnx()
    (folder / "whole.onnx").write_bytes(whole)


def _write_keras(path):
    import h5py
    import numpy as np

    draw = np.random.default_rng(0)
    sizes = [(3, 3, 3, 8), (5, 5, 8, 8), (5, 5, 8, 16), (5, 5, 16, 16)]
    with h5py.File(path, "w") as file:
        for number, size in enumerate(sizes, 1):
            layer = file.create_group(f"conv2d_{number}")
            layer["kernel:0"] = draw.normal(size=size).astype("f4")
            layer["bias:0"] = np.zeros(size[-1], "f4")
            norm = file.create_group(f"batch_normalization_{number}")
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                norm[f"{name}:0"] = np.ones(size[-1], "f4")
        for number, size in enumerate([(1024, 16), (16, 1)], 1):
            layer = file.create_group(f"dense_{number}")
            layer["kernel:0"] = draw.normal(size=size).astype("f4")
            layer["bias:0"] = np.zeros(size[-1], "f4")


def _small_onnx():
    """Return an ONNX file of one node, made by hand: x -> Identity -> y."""
    node = b"\x0a\x01x\x12\x01y\x22\x08Identity"
    graph = b"\x0a" + bytes([len(node)]) + node + b"\x12\x01g"
    return b"\x08\x08\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x0d"


def _warm(kind, folder):
    import warnings

    import ensemble  # noqa: F401

    warnings.simplefilter("ignore")
    for file in ("whole.pth", "legacy.pth", "whole.safetensors", "whole.h5"):
        assert _opened(folder / file) == "right: answered"


def _opened(path):
    """Open a file of weights as a detector; say whether it can answer."""
    import torch

    from base_models import load_checkpoint

    if path.suffix == ".h5":
        detector = load_checkpoint(path, scope="face")
    elif path.is_dir():
        detector = load_checkpoint(path)
    else:
        detector = load_checkpoint(path, backbone="mesonet4", scope="face")
    state = detector.module_.state_dict()
    if not all(torch.isfinite(value).all() for value in state.values()):
        return "other answer: weights that are no numbers"
    return "right: answered"


def _trial(kind, folder, marker, case):
    import shutil
    import warnings

    from base_models.errors import CheckpointError

    warnings.simplefilter("ignore")
    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    files = {"pth": ["whole.pth", "legacy.pth", "module.pth"]}.get(
        kind, [f"whole.{kind}"]
    )
    file = rng.choice(files)
    whole = (folder / file).read_bytes()
    path = folder / f"hostile-{seed}.{kind}"
    if trick in DAMAGE:
        path.write_bytes(DAMAGE[trick](whole, rng))
    elif kind == "h5" or trick.startswith("card_"):
        path = _TRICKS[kind][trick](path, folder, rng, marker) or path
    else:
        path.write_bytes(_TRICKS[kind][trick](whole, rng, marker))
    read = (
        _onnx_in(rng.choice(["weights", "model", "finder"]))
        if kind == "onnx"
        else _opened
    )

    def checked(path):
        said = read(path)
        if trick in DAMAGE and file == "whole.pth" and said == "right: answered":
            return _same(path, folder / file)
        if trick == "layers_left_out" and said == "right: answered":
            return "other answer: with weights that the file does not hold"
        return said

    try:
        return tried(path, CheckpointError, checked)
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _same(path, whole):
    """Say whether an archive with checksums gave the tensors of the whole one."""
    import torch

    from base_models.checkpoints import read_state_dict

    found, known = read_state_dict(path), read_state_dict(whole)
    same = all(
        name in found and torch.equal(known[name], found[name]) for name in known
    )
    return "right: answered" if same else "other answer: damage that nobody noticed"


def _onnx_in(place):
    def read(path):
        import numpy as np

        import ensemble
        from base_models import YuNetFaceFinder, load_checkpoint

        if place == "weights":
            load_checkpoint(path, backbone="mesonet4", scope="face")
        elif place == "model":
            ensemble.load(path)
        else:
            YuNetFaceFinder(path).find(np.full((96, 96, 3), 90, np.uint8))
        return "right: answered"

    return read


# ONNX


def _field(number, content):
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


@onnx
def external_data(whole, rng, marker):
    """A tensor whose values lie in another file."""
    place = rng.choice(["/etc/passwd", "../../whole.onnx", "whole.onnx", str(marker)])
    entry = _field(1, b"location") + _field(2, place.encode())
    tensor = b"\x08\x04\x10\x01" + _field(8, b"w") + _field(13, entry) + b"\x70\x01"
    node = _field(1, b"w") + _field(2, b"y") + _field(4, b"Identity")
    graph = _field(1, node) + _field(2, b"g") + _field(5, tensor)
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d")


@onnx
def tensor_of_huge_size(whole, rng, marker):
    """A tensor that says it has 2 ** 40 values, or a negative number of them."""
    huge = rng.choice(
        [b"\x08\xff\xff\xff\xff\xff\x1f", b"\x08" + b"\xff" * 9 + b"\x01"]
    )
    tensor = huge + b"\x10\x01" + _field(8, b"w")
    node = _field(1, b"w") + _field(2, b"y") + _field(4, b"Identity")
    graph = _field(1, node) + _field(2, b"g") + _field(5, tensor)
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d")


@onnx
def graphs_in_graphs(whole, rng, marker):
    """A node whose attribute is a graph, whose node's attribute is a graph ..."""
    graph = _field(2, b"g")
    for _ in range(rng.choice([5, 90, 2000])):
        attribute = _field(1, b"body") + _field(6, graph)
        node = (
            _field(1, b"x")
            + _field(2, b"y")
            + _field(4, b"Loop")
            + _field(5, attribute)
        )
        graph = _field(1, node)
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d")


@onnx
def nodes_in_a_circle(whole, rng, marker):
    """Nodes that wait for each other, or of kinds that nobody knows."""
    kind = rng.choice([b"Identity", b"os.system", b"PyOp", b"Loop", b"\xff"])
    one = _field(1, b"b") + _field(2, b"a") + _field(4, kind)
    other = _field(1, b"a") + _field(2, b"b") + _field(4, kind)
    graph = _field(1, one) + _field(1, other) + _field(2, b"g")
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d")


@onnx
def small_network(whole, rng, marker):
    """A network that is whole, and none of ours."""
    return _small_onnx()


@onnx
def pickle_called_onnx(whole, rng, marker):
    """A pickle, or an archive with one, under this name."""
    call = b"\x80\x02cposix\nmkdir\n(" + text_of(marker) + b"tR."
    return rng.choice([call, in_zip(call), LEGACY + call])
