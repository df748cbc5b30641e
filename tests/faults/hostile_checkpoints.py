"""Hostile files of weights: PyTorch's pickles, safetensors, Keras' HDF5, ONNX.

Right is a `CheckpointError` that names the file, or a network whose weights are finite
numbers: these formats have no checksum, so that damage inside of a weight is another
weight. Of a PyTorch archive, which has checksums, they are those of the whole file.
"""

import functools
import io
import json
import math
import pickle
import random
import struct
import zipfile
from pathlib import Path

from hostile import DAMAGE, Tricks, tried
from trials import each_in_process

pth, safetensors, h5, onnx = Tricks(), Tricks(), Tricks(), Tricks()
YUNET = Path(__file__).resolve().parents[3] / "shared" / "models" / "yunet"
_LEGACY = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    + pickle.dumps(1001, 2)
    + pickle.dumps({"little_endian": True}, 2)
)
_MODULE = b"cnetwork.models\nNet\n"  # what makes a module that stands for one
TARGETS = [
    ("os", "mkdir"), ("posix", "mkdir"), ("builtins", "open"), ("builtins", "exec"),
    ("os", "system"), ("pathlib", "Path.mkdir"), ("torch", "load"), ("torch.hub", "load"),
    ("torch.serialization", "load"), ("torch.storage", "_load_from_bytes"),
    ("torch.nn.modules.container.os", "mkdir"), ("torch._utils", "os.mkdir"),
    ("torch.optim.os", "mkdir"), ("numpy", "load"), ("numpy", "fromfile"),
    ("argparse", "_os.mkdir"), ("pathlib", "os.mkdir"), ("types", "CodeType"),
    ("operator", "attrgetter"), ("functools", "partial"), ("importlib", "import_module"),
    ("collections", "_sys.exit"), ("torch.jit", "load"), ("torch._C", "_load_for_lite"),
    ("logging.config", "valueAsInt"), ("runpy", "run_path"), ("code", "interact"),
    ("torch.utils.collect_env", "run"), ("torch.distributed.rpc", "x"), ("_codecs", "os"),
    ("torch.nn.parallel.os", "mkdir"), ("network.os", "mkdir"), ("shutil", "rmtree"),
]  # fmt: skip


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
    """Try ONNX files, in the place of weights, of a saved model and of a face finder."""
    return _each("onnx", n, seed, folder)


_TRICKS = {"pth": pth, "safetensors": safetensors, "h5": h5, "onnx": onnx}


def _each(kind, n, seed, folder):
    marker = folder / "executed"
    _write_whole(folder)
    return each_in_process(
        functools.partial(_trial, kind, folder, marker),
        Tricks({**_TRICKS[kind], **DAMAGE}).cases(n, seed),
        seconds=30, mib=700, marker=marker, warm=functools.partial(_warm, kind, folder),
    )  # fmt: skip


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


# PyTorch


def in_zip(content, compression=zipfile.ZIP_STORED, **others):
    """Return an archive of PyTorch's with this pickle."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, other in others.items():
            archive.writestr(f"archive/{name}", other)
    return packed.getvalue()


def _either(content, rng, **others):
    return in_zip(content, **others) if rng.random() < 0.5 else _LEGACY + content


def _text(text):
    text = str(text).encode()
    return b"X" + struct.pack("<I", len(text)) + text


@pth
def reduce_runs_a_function(whole, rng, marker):
    """A pickle that calls a function of the system, of Python or of torch."""
    module, name = rng.choice(TARGETS)
    call = f"c{module}\n{name}\n".encode() + b"(" + _text(marker) + b"tR."
    return _either(b"\x80\x02" + call, rng)


@pth
def stack_global_runs_a_function(whole, rng, marker):
    """The same by the opcode of protocol 4, whose names may have dots."""
    module, name = rng.choice(TARGETS)
    content = (
        b"\x80\x04" + _text(module) + _text(name) + b"\x93" + _text(marker) + b"\x85R."
    )
    return _either(content, rng)


@pth
def inst_and_obj_run_a_function(whole, rng, marker):
    """The same by the opcodes INST and OBJ of old protocols."""
    module, name = rng.choice(TARGETS)
    if rng.random() < 0.5:
        return _either(b"(" + _text(marker) + f"i{module}\n{name}\n.".encode(), rng)
    return _either(b"(" + f"c{module}\n{name}\n".encode() + _text(marker) + b"o.", rng)


@pth
def newobj_and_build(whole, rng, marker):
    """Classes made by NEWOBJ, filled by BUILD with methods and slots."""
    module, name = rng.choice([*TARGETS, ("network.models", "Net"), ("torch", "Size"),
                               ("collections", "OrderedDict"), ("builtins", "list")])  # fmt: skip
    key = rng.choice(["__class__", "__setstate__", "__reduce__", "_modules", "__dict__",
                      "_parameters", "__init__", "values"])  # fmt: skip
    state = b"}" + _text(key) + f"c{module}\n{name}\n".encode() + b"s"
    content = b"\x80\x02" + _MODULE + b")\x81" + state
    return _either(content + rng.choice([b"b.", b"}\x86b.", b"N\x86b."]), rng)


@pth
def extension_registry(whole, rng, marker):
    """Functions by their number in the registry of extensions."""
    return _either(b"\x80\x02" + rng.choice([b"\x82\x01.", b"\x83\x01\x00.",
                                             b"\x84\x01\x00\x00\x00."]), rng)  # fmt: skip


@pth
def payload_in_a_persistent_id(whole, rng, marker):
    """Persistent ids that are classes, functions, or lead to files."""
    inside = rng.choice([
        _text("module") + b"cos\nmkdir\n" + _text("a") + _text("b"), _text("module"),
        _text("storage") + b"cos\nmkdir\n" + _text(marker) + _text("cpu") + b"K\x01",
        _text("storage") + b"ctorch\nFloatStorage\n" + _text("../../x") + _text("cpu")
        + b"K\x01", _text("storage"), b"N", b"K\x01K\x02", _text("\x1b[2J" * 1000),
    ])  # fmt: skip
    return _either(b"\x80\x02(" + inside + b"tQ.", rng)


@pth
def pickle_in_a_pickle(whole, rng, marker):
    """A pickle in what reads bytes of storage, or as numpy's array of objects."""
    inner = b"cposix\nmkdir\n(" + _text(marker) + b"tR."
    head = rng.choice([b"ctorch.storage\n_load_from_bytes\n", b"cnumpy\nndarray\n",
                       b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n"])  # fmt: skip
    size = struct.pack("<I", len(inner))
    return _either(b"\x80\x03" + head + b"B" + size + inner + b"\x85R.", rng)


@pth
def script_module(whole, rng, marker):
    """An archive of TorchScript: code beside the pickle."""
    code = f"import os\nos.mkdir('{marker}')\n".encode()
    content = pickle.dumps({}, 2)
    return in_zip(content, **{"code/__torch__.py": code, "constants.pkl": content,
                              "version": b"3\n"})  # fmt: skip


@pth
def tar_of_old(whole, rng, marker):
    """A tar archive, as the first releases of torch wrote, with a pickle inside."""
    import tarfile

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors", f"../{marker.name}"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"."))
    return content.getvalue()


@pth
def far_memo(whole, rng, marker):
    """Eight bytes that ask for gigabytes: a number far beyond those in use."""
    number = rng.choice([2**31 - 1, 2**32 - 1, 2**24])
    return _either(b"\x80\x02]r" + struct.pack("<I", number) + b".", rng)


@pth
def tuples_in_tuples(whole, rng, marker):
    """A key of 2 ** n values in two bytes a level."""
    return _either(
        b"\x80\x02})" + b"2\x86" * rng.choice([30, 60, 1000]) + b"K\x01s.", rng
    )


@pth
def nested_tuples(whole, rng, marker):
    """Tuples in tuples, hundreds of thousands deep."""
    content = b"\x80\x02})" + b"\x85" * rng.choice([900, 2000, 200_000])
    return _either(content + rng.choice([b"K\x01s.", b"0.", b"Q."]), rng)


@pth
def lists_in_tuples(whole, rng, marker):
    """The same by way of lists of which tuples are made."""
    content = b"\x80\x02})"
    for _ in range(60):
        content += b"q\x01" + b"0" + b"c__builtin__\ntuple\n](h\x01h\x01e\x85R"
    return _either(content + b"K\x01s.", rng)


@pth
def many_classes(whole, rng, marker):
    """Very many classes, of which each would be made."""
    named = (f"cnetwork.models\nNet{number}\n0".encode() for number in range(20_000))
    return _either(b"\x80\x02" + b"".join(named) + b"N.", rng)


@pth
def shared_modules(whole, rng, marker):
    """Modules that hold another one twice, level by level."""
    content = b"\x80\x02" + _MODULE + b")\x81}(" + _text("_modules") + b"}ub"
    for _ in range(rng.choice([20, 40, 150])):
        content += b"q\x010" + _MODULE + b")\x81}(" + _text("_modules")
        content += b"}(" + _text("a") + b"h\x01" + _text("b") + b"h\x01uub"
    return _either(content + b".", rng)


@pth
def module_inside_of_itself(whole, rng, marker):
    """A module or a dict that is inside of itself."""
    if rng.random() < 0.5:
        return _either(b"\x80\x02}q\x01" + _text("state_dict") + b"h\x01s.", rng)
    content = b"\x80\x02" + _MODULE + b")\x81q\x01}(" + _text("_modules")
    return _either(content + b"}" + _text("a") + b"h\x01sub.", rng)


@pth
def modules_of_odd_attributes(whole, rng, marker):
    """Modules whose parameters, buffers and children are no dicts, or of odd names."""
    name = rng.choice(["_modules", "_parameters", "_buffers"])
    odd = rng.choice([b"N", b"K\x01", b"]", _text("a"), b"}K\x01K\x02s", b"})Ns",
                      b"}" + _text("a") + b"K\x01s", b"}" + _text("a") + b"]s"])  # fmt: skip
    content = b"\x80\x02" + _MODULE + b")\x81}(" + _text(name) + odd + b"ub."
    return _either(content, rng)


@pth
def archive_bomb(whole, rng, marker):
    """Zeros that unpack to a gigabyte, by each way of packing."""
    way = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    return in_zip(pickle.dumps({}, 2), way, data=bytes(2**25))


@pth
def duplicate_pickle(whole, rng, marker):
    """An archive with two pickles: of one name, or of two folders."""
    import warnings

    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        name = rng.choice(["archive/data.pkl", "other/data.pkl", "a/b/data.pkl"])
        archive.writestr(name, pickle.dumps({"a": 1}, 2))
    return packed.getvalue()


@pth
def archive_that_lies(whole, rng, marker):
    """Sizes, methods and flags of an archive that are not so."""
    content = bytearray(in_zip(pickle.dumps({}, 2), data=bytes(100)))
    at = (
        content.rfind(b"PK\x01\x02")
        if rng.random() < 0.5
        else content.find(b"PK\x01\x02")
    )
    field, size = rng.choice([(8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (42, 4)])
    content[at + field : at + field + size] = rng.randbytes(size)
    return bytes(content)


@pth
def storages_that_lie(whole, rng, marker):
    """Storages of other sizes than they say, by which much would be reserved."""
    number = rng.choice([b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"M\xff\xff", b"N",
                         b"G" + struct.pack(">d", 1e9), b"\x8a\x09" + b"\xff" * 8 + b"\x00"])  # fmt: skip
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0")
    storage += _text("cpu") + number + rng.choice([b"tQ", b"NtQ"])
    content = b"\x80\x02" + storage + b"."
    return _either(content, rng) + rng.choice([b"", bytes(2**16)])


@pth
def tensors_that_lie(whole, rng, marker):
    """Tensors of strides and sizes beyond their storage, or that repeat it endlessly."""
    size = rng.choice([b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft", b"(K\x05t", b"(J\xfe\xff\xff\xfft",
                       b"N", b"(Nt", b"(" + b"K\x01" * 100 + b"t", b"(K\x00J\xff\xff\xff\x7ft"])  # fmt: skip
    stride = rng.choice(
        [b"(K\x00K\x00t", b"(K\x00t", b"(J\xff\xff\xff\xfft", b"N", b"(K\x01t"]
    )
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0")
    storage += _text("cpu") + b"K\x04tQ"
    offset = rng.choice([b"K\x00", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"N"])
    content = b"\x80\x02}" + _text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n("
    content += storage + offset + size + stride + b"\x89}tRs."
    return in_zip(content, **{"data/0": bytes(16)})


@pth
def weights_that_are_no_numbers(whole, rng, marker):
    """NaN, infinity, or complex, whole and boolean numbers in the place of weights."""
    import torch

    from base_models.backbones import build_network

    state = build_network("mesonet4").state_dict()
    name = rng.choice(sorted(state))
    change = rng.choice(
        ["nan", "inf", "complex", "int", "bool", "half", "empty", "none"]
    )
    if change in ("nan", "inf"):
        state[name] = state[name].float()
        state[name].reshape(-1)[-1] = float(change)
    else:
        kinds = {"complex": torch.complex64, "int": torch.int32, "bool": torch.bool}
        state[name] = (
            state[name].to(kinds.get(change, torch.float16)) if change != "empty"
            else torch.zeros(0)
        )  # fmt: skip
        if change == "none":
            state[name] = None
    content = io.BytesIO()
    torch.save(state, content, _use_new_zipfile_serialization=rng.random() < 0.5)
    return content.getvalue()


@pth
def names_of_weights(whole, rng, marker):
    """Weights of odd names: no text, markup, megabytes, marks that turn text round."""
    import torch

    name = rng.choice([1, None, b"a", ("a",), "<script>" * 100, "a" * 2**20, "\u202e", "",
                       "a\nb", "module.", "...", "\ud800"])  # fmt: skip
    content = io.BytesIO()
    torch.save({name: torch.ones(1)}, content)
    return content.getvalue()


@pth
def pickle_of_random_steps(whole, rng, marker):
    """Opcodes at random, with arguments that fit."""
    import pickletools

    steps = [op for op in pickletools.opcodes if op.arg is None and op.name != "STOP"]
    content = b"\x80\x02"
    for _ in range(rng.randint(1, 60)):
        content += rng.choice([
            rng.choice(steps).code.encode("latin1"), b"}", b"]", b"(", b"K\x01", _text("a"),
            _MODULE, b"ctorch\nFloatStorage\n", b"q\x01", b"h\x01",
        ])  # fmt: skip
    return _either(content + b".", rng)


@pth
def texts_of_gigabytes(whole, rng, marker):
    """Texts, bytes and whole numbers that say they are huge."""
    huge = struct.pack("<I", 2**31 - 1)
    content = rng.choice([
        b"X" + huge, b"B" + huge, b"T" + huge, b"\x8b" + huge,
        b"\x8d" + struct.pack("<Q", 2**40), b"\x8e" + struct.pack("<Q", 2**62),
        b"\x95" + struct.pack("<Q", 2**62) + b"N", b"\x96" + struct.pack("<Q", 2**40),
        b"L" + b"9" * 100_000 + b"L\n", b"I" + b"1" * 10_000 + b"\n", b"F1e999999\n",
    ])  # fmt: skip
    return _either(b"\x80\x04" + content + b".", rng)


# safetensors


def _with_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _header_of(whole):
    n_bytes = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + n_bytes]), whole[8 + n_bytes :]


@safetensors
def header_length_that_lies(whole, rng, marker):
    """A header that says it is longer than the file, or shorter than it is."""
    length = rng.choice([0, 1, 7, 100, 2**31, 2**40, 2**63 - 1, 2**64 - 1])
    return struct.pack("<Q", length) + whole[8:]


@safetensors
def header_of_another_kind(whole, rng, marker):
    """A header that is no object, too deep, cut off, or no UTF-8."""
    return _with_header(rng.choice([
        b"[]", b"3", b"null", b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 100,
        b'{"a":1}', b'{"a":{}}', b"{}" + b" " * 2**20, b'{"__metadata__":[]}',
    ]))  # fmt: skip


@safetensors
def tensor_described_wrongly(whole, rng, marker):
    """Types, shapes and places that do not fit, overlap or lead out of the file."""
    header, data = _header_of(whole)
    described = header[rng.choice([name for name in header if name != "__metadata__"])]
    key = rng.choice(["dtype", "shape", "data_offsets"])
    described[key] = rng.choice([
        "F8_E4M3", "C64", "BF16", "I64", "BOOL", "F4", "f32", "", None, [], [-1], [2**62, 4],
        [2**64], [0], [0, 0], [10, 2], [0, 2**62], [1, 2, 3], {}, True, [1.5],
    ])  # fmt: skip
    return _with_header(header, data)


@safetensors
def names_twice(whole, rng, marker):
    """A tensor twice, or none of a name that is needed."""
    header, data = _header_of(whole)
    text = json.dumps(header)
    name = rng.choice(sorted(header))
    one = json.dumps({name: header[name]})[1:-1]
    return _with_header(f"{{{one}, {text[1:]}".encode(), data)


@safetensors
def very_many_tensors(whole, rng, marker):
    """A hundred thousand and one tensors of nothing."""
    one = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(one % number for number in range(100_001)) + "}"
    return _with_header(header.encode())


@safetensors
def odd_names_of_tensors(whole, rng, marker):
    """Names of markup, megabytes, or nothing."""
    header, data = _header_of(whole)
    name = rng.choice(sorted(header))
    odd = rng.choice(
        ["", "a" * 2**20, "<script>", "\x00", "\u202e", "a\nb", "__metadata__"]
    )
    header[odd] = header.pop(name)
    return _with_header(header, data)


@safetensors
def numbers_that_are_none(whole, rng, marker):
    """NaN and infinity in the place of weights, or weights of another type."""
    header, data = _header_of(whole)
    data = bytearray(data)
    at = 4 * rng.randrange(len(data) // 4)
    data[at : at + 4] = struct.pack("<f", rng.choice([math.nan, math.inf, -math.inf]))
    return _with_header(header, bytes(data))


@safetensors
def pickle_under_this_name(whole, rng, marker):
    """A pickle or an archive that is called safetensors."""
    call = b"\x80\x02cposix\nmkdir\n(" + _text(marker) + b"tR."
    return rng.choice([call, in_zip(call), _LEGACY + call, b"PK\x05\x06" + bytes(18)])


def _folder_with(path, folder, card):
    path.mkdir()
    (path / "model.safetensors").write_bytes(
        (folder / "whole.safetensors").read_bytes()
    )
    text = card if isinstance(card, (str, bytes)) else json.dumps(card)
    mode = "wb" if isinstance(text, bytes) else "w"
    with open(path / "card.json", mode) as file:
        file.write(text)


def _whole_card():
    from base_models.detectors.prefit import make_card

    return make_card("mesonet4", "face", source="mine.pth", trained_on=["mine"])


@safetensors
def card_of_another_kind(path, folder, rng, marker):
    """A folder whose card is no object, cut off, or too deep."""
    card = rng.choice(["", "[]", "3", "null", "{", "[" * 100_000, b"\xff\xfe", b"\xff" * 9,
                       "{}", '{"a":' * 50_000, '{"backbone": "mesonet4"}', "NaN"])  # fmt: skip
    _folder_with(path, folder, card)


@safetensors
def card_entry_replaced(path, folder, rng, marker):
    """A card whose entries are huge, negative, of other types or missing."""
    card = _whole_card()
    inside = card if rng.random() < 0.6 else card["transform"]
    key = rng.choice(sorted(inside))
    if rng.random() < 0.15:
        del inside[key]
    else:
        inside[key] = rng.choice([
            None, True, -1, 0, 1.5, 2**31, 2**63, 10**400, math.nan, math.inf, "", "a" * 9999,
            [], {}, [[]], [1], ["real"], [math.nan] * 3, [0, 0, 0], ["fake", "real"], "../x",
        ])  # fmt: skip
    _folder_with(path, folder, card)


@safetensors
def card_names_a_network_elsewhere(path, folder, rng, marker):
    """A card whose network is an address, a hub's, or a path."""
    name = rng.choice(["hf-hub:nobody/net", "hf_hub:nobody/net", "local-dir:/tmp", "../x",
                       "https://example.invalid/net", "resnet18.hub:x", f"{marker}", "$(x)",
                       "timm/resnet18", "os.system", "resnet18", "vit_giant_patch14_224"])  # fmt: skip
    _folder_with(path, folder, {**_whole_card(), "backbone": name})


# Keras


def _edited(path, folder, edit):
    import h5py

    path.write_bytes((folder / "whole.h5").read_bytes())
    with h5py.File(path, "a") as file:
        edit(file)


@h5
def links_that_lead_out(path, folder, rng, marker):
    """Links to other files, to nothing, or round in a circle."""
    import h5py

    def edit(file):
        link = rng.choice([h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/nothing"),
                           h5py.ExternalLink("whole.h5", "/dense_1"), h5py.SoftLink("/")])  # fmt: skip
        file[rng.choice(["conv2d_9", "dense_1/kernel:1", "a"])] = link

    _edited(path, folder, edit)


@h5
def values_in_other_files(path, folder, rng, marker):
    """Arrays whose values lie in other files: external storage, virtual data sets."""
    import h5py

    def edit(file):
        if rng.random() < 0.5:
            file.create_dataset("dense_3/kernel:0", (16,), "f4",
                                external=[("/etc/passwd", 0, 64)])  # fmt: skip
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("whole.h5", "/dense_2/bias:0", (4,))
            file.create_virtual_dataset("dense_3/kernel:0", layout)

    _edited(path, folder, edit)


@h5
def packed_bomb(path, folder, rng, marker):
    """Arrays of zeros that unpack to gigabytes, one or many, in small or huge chunks."""

    def edit(file):
        how = rng.choice(["large", "many", "chunk", "empty"])
        if how == "large":
            file.create_dataset(
                "a", (2**31,), "f4", chunks=(2**20,), compression="gzip"
            )
        elif how == "many":
            for number in range(100):
                file.create_dataset(f"dense_{number + 3}/kernel:0", (2**22,), "f4")
        elif how == "chunk":
            data = file.create_dataset("dense_1/kernel:1", (16,), "f4", maxshape=(None,),
                                       chunks=(2**25,), compression="gzip")  # fmt: skip
            data[:] = 1
        else:
            file.create_dataset("dense_1/kernel:1", (2**62,), "f4", chunks=(2**10,))

    _edited(path, folder, edit)


@h5
def arrays_of_another_type(path, folder, rng, marker):
    """Arrays of text, references, tables, enumerations, no dimension, or no numbers."""
    import h5py
    import numpy as np

    def edit(file):
        name = rng.choice(["dense_1/kernel:0", "conv2d_1/bias:0", "dense_2/bias:0",
                           "batch_normalization_1/gamma:0"])  # fmt: skip
        before = file[name][()]
        del file[name]
        how = rng.choice(["text", "reference", "table", "nan", "inf", "int", "empty", "gone",
                          "scalar", "long", "half", "complex", "null", "transposed"])  # fmt: skip
        if how == "text":
            file[name] = "a" * 100
        elif how == "reference":
            file[name] = file.ref
        elif how == "null":
            file[name] = h5py.Empty("f4")
        elif how in ("nan", "inf"):
            before.reshape(-1)[0] = float(how)
            file[name] = before
        elif how != "gone":
            file[name] = {
                "table": np.zeros(3, [("a", "f4"), ("b", "i4")]),
                "int": before.astype(int), "empty": before[:0], "scalar": np.float32(1),
                "long": np.concatenate([before, before]), "half": before.astype("f2"),
                "complex": before.astype("c8"), "transposed": before.T,
            }[how]  # fmt: skip

    _edited(path, folder, edit)


@h5
def filters_nobody_knows(path, folder, rng, marker):
    """Filters that are plugins, or that lie about what they pack."""

    def edit(file):
        if rng.random() < 0.5:
            file.create_dataset("dense_3/kernel:0", (64,), "f4", chunks=(64,),
                                compression="lzf", shuffle=True, fletcher32=True)  # fmt: skip
        else:
            file.create_dataset("dense_3/kernel:0", (64,), "f4", chunks=(64,),
                                scaleoffset=3)  # fmt: skip

    _edited(path, folder, edit)
    if rng.random() < 0.5:
        content = bytearray(path.read_bytes())
        at = content.find(b"lzf")
        if at > 16:
            content[at - 16 + rng.randrange(16)] ^= 0xFF
        path.write_bytes(content)


@h5
def layers_of_odd_names(path, folder, rng, marker):
    """Layers MesoNet does not have, or of names that are markup, numbers, megabytes."""

    def edit(file):
        name = rng.choice(["lambda", "<script>", "conv2d_99999999999999999999", "dense_-1",
                           "a" * 60_000, "\u202e", "conv2d", "dense_3", "conv2d_²", "..."])  # fmt: skip
        file[f"{name}/kernel:0"] = [1.0]

    _edited(path, folder, edit)


@h5
def lambda_layers(path, folder, rng, marker):
    """A configuration of Keras with code in it, as files of whole models have."""
    import base64
    import marshal

    code = compile(f"__import__('os').mkdir({str(marker)!r})", "x", "exec")
    function = base64.b64encode(marshal.dumps(code)).decode()
    layer = {"class_name": "Lambda", "config": {"function": [function, None, None]}}

    def edit(file):
        config = {"class_name": "Sequential", "config": {"layers": [layer]}}
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["training_config"] = "(" * 100

    _edited(path, folder, edit)
    if rng.random() < 0.5:  # the newer form: an archive
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(layer))
            archive.writestr("model.weights.h5", b"")


@h5
def groups_in_groups(path, folder, rng, marker):
    """Groups hundreds deep, a group inside of itself, or very many of them."""

    def edit(file):
        how = rng.choice(["deep", "circle", "many"])
        if how == "deep":
            file["/".join(["a"] * 900) + "/kernel:0"] = [1.0]
        elif how == "circle":
            file["dense_1/again"] = file["/"]
        else:
            for number in range(3000):
                file.create_group(f"dense_{number + 9}")

    _edited(path, folder, edit)


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
    call = b"\x80\x02cposix\nmkdir\n(" + _text(marker) + b"tR."
    return rng.choice([call, in_zip(call), _LEGACY + call])
