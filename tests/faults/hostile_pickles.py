"""Hostile pickles and archives of them, in the place of what ``torch.save`` wrote."""

import io
import pickle
import struct
import zipfile

from hostile import Tricks

pth = Tricks()  # of (bytes of a whole file, rng, marker)
LEGACY = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    + pickle.dumps(1001, 2)
    + pickle.dumps({"little_endian": True}, 2)
)
_MODULE = b"cnetwork.models\nNet\n"  # what makes a module that stands for one
TARGETS = [
    ("os", "mkdir"),
    ("posix", "mkdir"),
    ("builtins", "open"),
    ("builtins", "exec"),
    ("os", "system"),
    ("pathlib", "Path.mkdir"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.nn.modules.container.os", "mkdir"),
    ("torch._utils", "os.mkdir"),
    ("torch.optim.os", "mkdir"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("argparse", "_os.mkdir"),
    ("pathlib", "os.mkdir"),
    ("types", "CodeType"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("importlib", "import_module"),
    ("collections", "_sys.exit"),
    ("torch.jit", "load"),
    ("torch._C", "_load_for_lite"),
    ("logging.config", "valueAsInt"),
    ("runpy", "run_path"),
    ("code", "interact"),
    ("torch.utils.collect_env", "run"),
    ("torch.distributed.rpc", "x"),
    ("_codecs", "os"),
    ("torch.nn.parallel.os", "mkdir"),
    ("network.os", "mkdir"),
    ("shutil", "rmtree"),
]


def in_zip(content, compression=zipfile.ZIP_STORED, **others):
    """Return an archive of PyTorch's with this pickle."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, other in others.items():
            archive.writestr(f"archive/{name}", other)
    return packed.getvalue()


def _either(content, rng, **others):
    return in_zip(content, **others) if rng.random() < 0.5 else LEGACY + content


def text_of(text):
    """Return the steps of a pickle that make a text."""
    text = str(text).encode()
    return b"X" + struct.pack("<I", len(text)) + text


@pth
def reduce_runs_a_function(whole, rng, marker):
    """A pickle that calls a function of the system, of Python or of torch."""
    module, name = rng.choice(TARGETS)
    call = f"c{module}\n{name}\n".encode() + b"(" + text_of(marker) + b"tR."
    return _either(b"\x80\x02" + call, rng)


@pth
def stack_global_runs_a_function(whole, rng, marker):
    """The same by the opcode of protocol 4, whose names may have dots."""
    module, name = rng.choice(TARGETS)
    content = (
        b"\x80\x04"
        + text_of(module)
        + text_of(name)
        + b"\x93"
        + text_of(marker)
        + b"\x85R."
    )
    return _either(content, rng)


@pth
def inst_and_obj_run_a_function(whole, rng, marker):
    """The same by the opcodes INST and OBJ of old protocols."""
    module, name = rng.choice(TARGETS)
    if rng.random() < 0.5:
        return _either(b"(" + text_of(marker) + f"i{module}\n{name}\n.".encode(), rng)
    return _either(
        b"(" + f"c{module}\n{name}\n".encode() + text_of(marker) + b"o.", rng
    )


@pth
def newobj_and_build(whole, rng, marker):
    """Classes made by NEWOBJ, filled by BUILD with methods and slots."""
    module, name = rng.choice(
        [
            *TARGETS,
            ("network.models", "Net"),
            ("torch", "Size"),
            ("collections", "OrderedDict"),
            ("builtins", "list"),
        ]
    )
    key = rng.choice(
        [
            "__class__",
            "__setstate__",
            "__reduce__",
            "_modules",
            "__dict__",
            "_parameters",
            "__init__",
            "values",
        ]
    )
    state = b"}" + text_of(key) + f"c{module}\n{name}\n".encode() + b"s"
    content = b"\x80\x02" + _MODULE + b")\x81" + state
    return _either(content + rng.choice([b"b.", b"}\x86b.", b"N\x86b."]), rng)


@pth
def extension_registry(whole, rng, marker):
    """Functions by their number in the registry of extensions."""
    return _either(
        b"\x80\x02"
        + rng.choice([b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."]),
        rng,
    )


@pth
def payload_in_a_persistent_id(whole, rng, marker):
    """Persistent ids that are classes, functions, or lead to files."""
    inside = rng.choice(
        [
            text_of("module") + b"cos\nmkdir\n" + text_of("a") + text_of("b"),
            text_of("module"),
            text_of("storage")
            + b"cos\nmkdir\n"
            + text_of(marker)
            + text_of("cpu")
            + b"K\x01",
            text_of("storage")
            + b"ctorch\nFloatStorage\n"
            + text_of("../../x")
            + text_of("cpu")
            + b"K\x01",
            text_of("storage"),
            b"N",
            b"K\x01K\x02",
            text_of("\x1b[2J" * 1000),
        ]
    )
    return _either(b"\x80\x02(" + inside + b"tQ.", rng)


@pth
def pickle_in_a_pickle(whole, rng, marker):
    """A pickle in what reads bytes of storage, or as numpy's array of objects."""
    inner = b"cposix\nmkdir\n(" + text_of(marker) + b"tR."
    head = rng.choice(
        [
            b"ctorch.storage\n_load_from_bytes\n",
            b"cnumpy\nndarray\n",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"c_codecs\nencode\n",
        ]
    )
    size = struct.pack("<I", len(inner))
    return _either(b"\x80\x03" + head + b"B" + size + inner + b"\x85R.", rng)


@pth
def script_module(whole, rng, marker):
    """An archive of TorchScript: code beside the pickle."""
    code = f"import os\nos.mkdir('{marker}')\n".encode()
    content = pickle.dumps({}, 2)
    return in_zip(
        content,
        **{"code/__torch__.py": code, "constants.pkl": content, "version": b"3\n"},
    )


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
    content = b"\x80\x02" + _MODULE + b")\x81}(" + text_of("_modules") + b"}ub"
    for _ in range(rng.choice([20, 40, 150])):
        content += b"q\x010" + _MODULE + b")\x81}(" + text_of("_modules")
        content += b"}(" + text_of("a") + b"h\x01" + text_of("b") + b"h\x01uub"
    return _either(content + b".", rng)


@pth
def module_inside_of_itself(whole, rng, marker):
    """A module or a dict that is inside of itself."""
    if rng.random() < 0.5:
        return _either(b"\x80\x02}q\x01" + text_of("state_dict") + b"h\x01s.", rng)
    content = b"\x80\x02" + _MODULE + b")\x81q\x01}(" + text_of("_modules")
    return _either(content + b"}" + text_of("a") + b"h\x01sub.", rng)


@pth
def modules_of_odd_attributes(whole, rng, marker):
    """Modules whose parameters, buffers and children are no dicts, or of odd names."""
    name = rng.choice(["_modules", "_parameters", "_buffers"])
    odd = rng.choice(
        [
            b"N",
            b"K\x01",
            b"]",
            text_of("a"),
            b"}K\x01K\x02s",
            b"})Ns",
            b"}" + text_of("a") + b"K\x01s",
            b"}" + text_of("a") + b"]s",
        ]
    )
    content = b"\x80\x02" + _MODULE + b")\x81}(" + text_of(name) + odd + b"ub."
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
    number = rng.choice(
        [
            b"J\xff\xff\xff\x7f",
            b"J\xff\xff\xff\xff",
            b"M\xff\xff",
            b"N",
            b"G" + struct.pack(">d", 1e9),
            b"\x8a\x09" + b"\xff" * 8 + b"\x00",
        ]
    )
    storage = b"(" + text_of("storage") + b"ctorch\nFloatStorage\n" + text_of("0")
    storage += text_of("cpu") + number + rng.choice([b"tQ", b"NtQ"])
    content = b"\x80\x02" + storage + b"."
    return _either(content, rng) + rng.choice([b"", bytes(2**16)])


@pth
def tensors_that_lie(whole, rng, marker):
    """Tensors of strides and sizes beyond their storage, or that repeat it."""
    size = rng.choice(
        [
            b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft",
            b"(K\x05t",
            b"(J\xfe\xff\xff\xfft",
            b"N",
            b"(Nt",
            b"(" + b"K\x01" * 100 + b"t",
            b"(K\x00J\xff\xff\xff\x7ft",
        ]
    )
    stride = rng.choice(
        [b"(K\x00K\x00t", b"(K\x00t", b"(J\xff\xff\xff\xfft", b"N", b"(K\x01t"]
    )
    storage = b"(" + text_of("storage") + b"ctorch\nFloatStorage\n" + text_of("0")
    storage += text_of("cpu") + b"K\x04tQ"
    offset = rng.choice([b"K\x00", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"N"])
    content = b"\x80\x02}" + text_of("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n("
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
            state[name].to(kinds.get(change, torch.float16))
            if change != "empty"
            else torch.zeros(0)
        )
        if change == "none":
            state[name] = None
    content = io.BytesIO()
    torch.save(state, content, _use_new_zipfile_serialization=rng.random() < 0.5)
    return content.getvalue()


@pth
def names_of_weights(whole, rng, marker):
    """Weights of odd names: no text, markup, megabytes, marks that turn text round."""
    import torch

    name = rng.choice(
        [
            1,
            None,
            b"a",
            ("a",),
            "<script>" * 100,
            "a" * 2**20,
            "\u202e",
            "",
            "a\nb",
            "module.",
            "...",
            "\ud800",
        ]
    )
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
        content += rng.choice(
            [
                rng.choice(steps).code.encode("latin1"),
                b"}",
                b"]",
                b"(",
                b"K\x01",
                text_of("a"),
                _MODULE,
                b"ctorch\nFloatStorage\n",
                b"q\x01",
                b"h\x01",
            ]
        )
    return _either(content + b".", rng)


@pth
def texts_of_gigabytes(whole, rng, marker):
    """Texts, bytes and whole numbers that say they are huge."""
    huge = struct.pack("<I", 2**31 - 1)
    content = rng.choice(
        [
            b"X" + huge,
            b"B" + huge,
            b"T" + huge,
            b"\x8b" + huge,
            b"\x8d" + struct.pack("<Q", 2**40),
            b"\x8e" + struct.pack("<Q", 2**62),
            b"\x95" + struct.pack("<Q", 2**62) + b"N",
            b"\x96" + struct.pack("<Q", 2**40),
            b"L" + b"9" * 100_000 + b"L\n",
            b"I" + b"1" * 10_000 + b"\n",
            b"F1e999999\n",
        ]
    )
    return _either(b"\x80\x04" + content + b".", rng)
