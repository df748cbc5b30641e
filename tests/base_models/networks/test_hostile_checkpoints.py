"""Files that ask for more than they may: refused, at once and with little memory."""

import io
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from base_models.checkpoints import read_state_dict
from base_models.errors import CheckpointError
from base_models.limits import reading_limits
from base_models.networks.pickle_check import check_pickle

_MOST = 2**26  # bytes of memory for refusing a file
_MODULE = b"cnetwork.models\nNet\n"  # what makes a module that stands for one
_LEGACY = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    + pickle.dumps(1001, 2)
    + pickle.dumps({"little_endian": True}, 2)
)


def in_zip(content, compression=zipfile.ZIP_STORED, **others):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, other in others.items():
            archive.writestr(f"archive/{name}", other)
    return packed.getvalue()


def refused(tmp_path, content, match, name="hostile.pth"):
    """Read a file, and check what refusing it took."""
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(CheckpointError, match=match) as caught:
            read_state_dict(path)
        assert tracemalloc.get_traced_memory()[1] < _MOST
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < 20
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def far_memo():
    return b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."


def tuples_in_tuples(n_levels=60):
    """A key that has 2 ** n_levels values, in some bytes a level."""
    return b"\x80\x02})" + b"2\x86" * n_levels + b"K\x01s."


def nested_tuples(n_levels=200_000):
    return b"\x80\x02})" + b"\x85" * n_levels + b"K\x01s."


def lists_in_tuples(n_levels=60):
    """The same as `tuples_in_tuples`, by way of lists of which tuples are made."""
    content = b"\x80\x02})"
    for _ in range(n_levels):
        content += b"q\x01" + b"0" + b"c__builtin__\ntuple\n](h\x01h\x01e\x85R"
    return content + b"K\x01s."


def many_classes(n_classes=20_000):
    named = (f"cnetwork.models\nNet{number}\n0".encode() for number in range(n_classes))
    return b"\x80\x02" + b"".join(named) + b"N."


@pytest.mark.slow_after(9)
@pytest.mark.parametrize("make", [far_memo, tuples_in_tuples, nested_tuples,
                                  lists_in_tuples, many_classes])  # fmt: skip
@pytest.mark.parametrize("layout", [in_zip, lambda content: _LEGACY + content])
def test_a_pickle_of_a_few_bytes_takes_no_gigabytes_and_no_hours(
    tmp_path, make, layout
):
    refused(tmp_path, layout(make()), "cannot be read as a PyTorch checkpoint")


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_bomb_is_refused_by_what_its_list_says(tmp_path, compression):
    content = in_zip(pickle.dumps({}, 2), compression, data=bytes(2**27))
    refused(tmp_path, content, r"unpack to 134,\d+,\d+ bytes")


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", pickle.dumps({"a": 1}, 2))
    refused(tmp_path, packed.getvalue(), "is there twice")


def shared_modules(n_levels=40):
    """Modules that hold another twice: a tree of 2 ** n_levels, of one a level."""
    content = b"\x80\x02" + _MODULE + b")\x81}(X\x08\x00\x00\x00_modules}ub"
    for _ in range(n_levels):
        content += b"q\x010" + _MODULE + b")\x81}(X\x08\x00\x00\x00_modules"
        content += b"}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01uub"
    return content + b"."


@pytest.mark.slow
@pytest.mark.parametrize("n_levels", [40, 150])
def test_modules_that_share_modules_end(tmp_path, n_levels):
    refused(tmp_path, in_zip(shared_modules(n_levels)), "modules")


def test_a_module_inside_of_itself_ends(tmp_path):
    content = b"\x80\x02" + _MODULE + b")\x81q\x01}(X\x08\x00\x00\x00_modules"
    content += b"}X\x01\x00\x00\x00ah\x01sub."
    refused(tmp_path, in_zip(content), "modules")


def test_storages_are_no_larger_than_their_file_together(tmp_path):
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX%c\x00\x00\x00%sX"
    storage += b"\x03\x00\x00\x00cpuM\xff\xfftQ"
    content = b"\x80\x02]("
    for number in range(200):
        key = str(number).encode()
        content += storage % (len(key), key)
    content += b"e."
    refused(tmp_path, _LEGACY + content + bytes(2**18), "bytes of tensors")


def test_a_persistent_id_is_not_written_out(tmp_path):
    refused(
        tmp_path, in_zip(b"\x80\x02" + b"]" + b"2\x86" * 20 + b"Q."), "persistent id"
    )


@pytest.mark.parametrize("content", [
    b"", b"\x80", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(100), b"\xff" * 100,
    in_zip(b"."), in_zip(b"\x80\x02Q."), in_zip(b"\x80\x02(."), in_zip(b"\x80\x02t."),
    in_zip(b"\x80\x02h\x05."), in_zip(b"\x80\x02N.") + b"junk", in_zip(b"\x80\x02}0."),
    in_zip(b"\x80\x02}K\x01K\x02s."),
])  # fmt: skip
def test_nonsense_is_a_checkpoint_error(tmp_path, content):
    refused(tmp_path, content, "hostile.pth")


def test_a_file_of_very_many_tensors_is_refused_by_its_header(tmp_path):
    one = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(one % number for number in range(100_001)) + "}"
    content = struct.pack("<Q", len(header)) + header.encode()
    refused(tmp_path, content, "it has 100,001 tensors", "weights.safetensors")


def test_limits_can_be_set(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2**20)}, path)
    assert read_state_dict(path)["weight"].shape == (2**20,)
    with (
        reading_limits(model_bytes=2**20),
        pytest.raises(CheckpointError, match=r"and for a file of .* 1,048,576 are all"),
    ):
        read_state_dict(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_training_scripts_save_is_read_as_before(tmp_path, legacy):
    network = torch.nn.Sequential(
        *(torch.nn.Sequential(torch.nn.Linear(2, 2)) for _ in range(50))
    )
    network[1] = network[0]  # weights that are tied are shared
    state = {"state_dict": network.state_dict(), "epoch": 3}
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state["optimizer"] = optimizer.state_dict()
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    read = read_state_dict(path)
    assert read.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_plain_things_pass(protocol):
    shared = [1, 2.5, "a"]
    thing = {
        "list": [shared, shared], "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "set": {1, 2}, "frozen": frozenset([3]), "bytes": b"ab", "none": None,
        "big": 2**100, ("key", 1): bytearray(b"c"), "complex": 1j,
    }  # fmt: skip
    shared.append(shared)
    stream = io.BytesIO(pickle.dumps(thing, protocol) + b"after")
    check_pickle(stream)
    assert stream.read() == b"after"
