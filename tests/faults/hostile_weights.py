"""Hostile safetensors, with cards or without, and Keras' weights in HDF5."""

import json
import math
import struct
import zipfile

from hostile import Tricks
from hostile_pickles import LEGACY, in_zip, text_of

safetensors = (
    Tricks()
)  # of (bytes of a whole file, rng, marker), or of (path, folder, ...)
h5 = Tricks()  # of (path, folder with a whole file, rng, marker)

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
    return _with_header(
        rng.choice(
            [
                b"[]",
                b"3",
                b"null",
                b"",
                b"{",
                b"[" * 100_000,
                b'{"a":' * 100_000,
                b"\xff" * 100,
                b'{"a":1}',
                b'{"a":{}}',
                b"{}" + b" " * 2**20,
                b'{"__metadata__":[]}',
            ]
        )
    )


@safetensors
def tensor_described_wrongly(whole, rng, marker):
    """Types, shapes and places that do not fit, overlap or lead out of the file."""
    header, data = _header_of(whole)
    described = header[rng.choice([name for name in header if name != "__metadata__"])]
    key = rng.choice(["dtype", "shape", "data_offsets"])
    described[key] = rng.choice(
        [
            "F8_E4M3",
            "C64",
            "BF16",
            "I64",
            "BOOL",
            "F4",
            "f32",
            "",
            None,
            [],
            [-1],
            [2**62, 4],
            [2**64],
            [0],
            [0, 0],
            [10, 2],
            [0, 2**62],
            [1, 2, 3],
            {},
            True,
            [1.5],
        ]
    )
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
    call = b"\x80\x02cposix\nmkdir\n(" + text_of(marker) + b"tR."
    return rng.choice([call, in_zip(call), LEGACY + call, b"PK\x05\x06" + bytes(18)])


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
    card = rng.choice(
        [
            "",
            "[]",
            "3",
            "null",
            "{",
            "[" * 100_000,
            b"\xff\xfe",
            b"\xff" * 9,
            "{}",
            '{"a":' * 50_000,
            '{"backbone": "mesonet4"}',
            "NaN",
        ]
    )
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
        inside[key] = rng.choice(
            [
                None,
                True,
                -1,
                0,
                1.5,
                2**31,
                2**63,
                10**400,
                math.nan,
                math.inf,
                "",
                "a" * 9999,
                [],
                {},
                [[]],
                [1],
                ["real"],
                [math.nan] * 3,
                [0, 0, 0],
                ["fake", "real"],
                "../x",
            ]
        )
    _folder_with(path, folder, card)


@safetensors
def card_names_a_network_elsewhere(path, folder, rng, marker):
    """A card whose network is an address, a hub's, or a path."""
    name = rng.choice(
        [
            "hf-hub:nobody/net",
            "hf_hub:nobody/net",
            "local-dir:/tmp",
            "../x",
            "https://example.invalid/net",
            "resnet18.hub:x",
            f"{marker}",
            "$(x)",
            "timm/resnet18",
            "os.system",
            "resnet18",
            "vit_giant_patch14_224",
        ]
    )
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
        link = rng.choice(
            [
                h5py.ExternalLink("/etc/passwd", "/"),
                h5py.SoftLink("/nothing"),
                h5py.ExternalLink("whole.h5", "/dense_1"),
                h5py.SoftLink("/"),
            ]
        )
        file[rng.choice(["conv2d_9", "dense_1/kernel:1", "a"])] = link

    _edited(path, folder, edit)


@h5
def values_in_other_files(path, folder, rng, marker):
    """Arrays whose values lie in other files: external storage, virtual data sets."""
    import h5py

    def edit(file):
        if rng.random() < 0.5:
            file.create_dataset(
                "dense_3/kernel:0", (16,), "f4", external=[("/etc/passwd", 0, 64)]
            )
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("whole.h5", "/dense_2/bias:0", (4,))
            file.create_virtual_dataset("dense_3/kernel:0", layout)

    _edited(path, folder, edit)


@h5
def layers_left_out(path, folder, rng, marker):
    """A whole file without some of its layers or arrays: none may be made up."""

    def edit(file):
        for layer in rng.sample(sorted(file), rng.randint(1, 3)):
            array = rng.choice(sorted(file[layer]))
            del file[rng.choice([layer, f"{layer}/{array}"])]

    _edited(path, folder, edit)


@h5
def packed_bomb(path, folder, rng, marker):
    """Arrays of zeros that unpack to gigabytes, in small or huge chunks."""

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
            data = file.create_dataset(
                "dense_1/kernel:1",
                (16,),
                "f4",
                maxshape=(None,),
                chunks=(2**25,),
                compression="gzip",
            )
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
        name = rng.choice(
            [
                "dense_1/kernel:0",
                "conv2d_1/bias:0",
                "dense_2/bias:0",
                "batch_normalization_1/gamma:0",
            ]
        )
        before = file[name][()]
        del file[name]
        how = rng.choice(
            [
                "text",
                "reference",
                "table",
                "nan",
                "inf",
                "int",
                "empty",
                "gone",
                "scalar",
                "long",
                "half",
                "complex",
                "null",
                "transposed",
            ]
        )
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
                "int": before.astype(int),
                "empty": before[:0],
                "scalar": np.float32(1),
                "long": np.concatenate([before, before]),
                "half": before.astype("f2"),
                "complex": before.astype("c8"),
                "transposed": before.T,
            }[how]

    _edited(path, folder, edit)


@h5
def filters_nobody_knows(path, folder, rng, marker):
    """Filters that are plugins, or that lie about what they pack."""

    def edit(file):
        if rng.random() < 0.5:
            file.create_dataset(
                "dense_3/kernel:0",
                (64,),
                "f4",
                chunks=(64,),
                compression="lzf",
                shuffle=True,
                fletcher32=True,
            )
        else:
            file.create_dataset(
                "dense_3/kernel:0", (64,), "f4", chunks=(64,), scaleoffset=3
            )

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
        name = rng.choice(
            [
                "lambda",
                "<script>",
                "conv2d_99999999999999999999",
                "dense_-1",
                "a" * 60_000,
                "\u202e",
                "conv2d",
                "dense_3",
                "conv2d_²",
                "...",
            ]
        )
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
