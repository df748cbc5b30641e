"""MesoNet's weights in HDF5: all of them are in the file, or it is refused."""

import pytest
import torch

pytest.importorskip("h5py")
import h5py

from base_models import CheckpointError
from base_models.networks.mesonet import MesoNet, read_keras_weights


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = MesoNet("mesonet4", 32)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for array in (*module.parameters(), module.running_mean):
                torch.nn.init.uniform_(array)
            torch.nn.init.uniform_(module.running_var, 1, 2)
    return network


@pytest.fixture
def whole(network, tmp_path):
    """The file of a network as Keras writes it, and its path."""
    path = tmp_path / "Meso4_DF.h5"
    blocks = [(block[0][0], block[1]) for block in network.blocks]
    with h5py.File(path, "w") as file:
        for number, (convolution, norm) in enumerate(blocks, 1):
            kernel = convolution.weight.detach().permute(2, 3, 1, 0)
            _layer(file, "conv2d", number, kernel=kernel, bias=convolution.bias)
            _layer(
                file, "batch_normalization", number, gamma=norm.weight, beta=norm.bias,
                moving_mean=norm.running_mean, moving_variance=norm.running_var,
            )  # fmt: skip
        dense = network.dense
        _layer(file, "dense", 1, kernel=dense.weight.T, bias=dense.bias)
        _layer(file, "dense", 2, kernel=torch.ones(16, 1), bias=torch.ones(1))
    return path


def _layer(file, kind, number, **arrays):
    name = f"{kind}_{number}"
    for array, values in arrays.items():
        file[f"{name}/{name}/{array}:0"] = values.detach().numpy()


def test_a_whole_file_gives_the_network_that_was_written(whole, network):
    name, state = read_keras_weights(whole)
    assert name == "mesonet4"
    for key, value in network.state_dict().items():
        assert torch.equal(state[key], value), key
    assert state["head.weight"][0].tolist() == [1.0] * 16


def _without(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def _with_another(kind, number, like):
    return lambda file: file.copy(file[like], f"{kind}_{number}")


def _two_outputs(file):
    del file["dense_2"]
    _layer(file, "dense", 2, kernel=torch.ones(16, 2), bias=torch.ones(2))


def _one_value_for_all(file):
    del file["dense_2"]
    _layer(file, "dense", 2, kernel=torch.ones(1, 1), bias=torch.ones(1))


def _no_kernel(file):
    del file["conv2d_2/conv2d_2/kernel:0"]


def _a_second_one(file):
    file.copy(file["conv2d_2/conv2d_2"], "model/conv2d_2")


def _linked_twice(file):
    del file["batch_normalization_4"]
    file["batch_normalization_4"] = file["batch_normalization_3"]


def _flat(file):
    del file["dense_1/dense_1/kernel:0"]
    file["dense_1/dense_1/kernel:0"] = 0.0


def _deep(file):
    for _ in range(300):
        file = file.create_group("a")


NORMS = [f"batch_normalization_{number}" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without(*NORMS), "4 layers batch_normalization, and the file 0"),
        (_without(NORMS[0]), "4 layers batch_normalization, and the file 3"),
        (
            _with_another("batch_normalization", 5, f"{NORMS[0]}/{NORMS[0]}"),
            "and the file 5",
        ),
        (_without("conv2d_3"), "got 3 and 2"),
        (_two_outputs, "one output"),
        (_one_value_for_all, "one output"),
        (_no_kernel, "'conv2d_2' must hold bias, kernel; got bias"),
        (_a_second_one, "two of its arrays are conv2d_2/"),
        (_with_another("conv2d", "02", "conv2d_2/conv2d_2"), "have the number 2"),
        (_linked_twice, "and the file 3"),
        (_flat, "must have 2 axes"),
        (_deep, "deep in one another"),
    ],
)
def test_what_is_not_whole_is_refused(whole, change, said):
    with h5py.File(whole, "a") as file:
        change(file)
    with pytest.raises(CheckpointError, match=said) as refused:
        read_keras_weights(whole)
    assert str(whole) in str(refused.value)
