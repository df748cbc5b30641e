import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from base_models.compute import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.runtime.devices import uses_gpu


class OnGpu(BaseEstimator):
    def __init__(self, device=None):
        self.device = device


def test_who_uses_a_gpu_is_known_by_the_device_that_it_gets(monkeypatch):
    assert not uses_gpu(OnGpu())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert uses_gpu(OnGpu())
    assert uses_gpu(FrozenEstimator(OnGpu()))
    assert not uses_gpu(OnGpu("cpu"))
    assert not uses_gpu(object())


def test_threads_and_seed_are_put_back():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    before = torch.get_num_threads()
    with repeatable(0, 1):
        assert torch.get_num_threads() == 1
        torch.rand(5)
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert torch.rand(1) == expected


def test_bad_numbers_of_threads_are_refused():
    with pytest.raises(ValueError, match="n_threads must be a whole number"):
        resolve_threads(0)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", r"say 'cuda'.*got 'gpu'.*This machine has 'cpu'"),
        ("cuda", r"device='cuda' is not there.*This machine has 'cpu'; leave device"),
        ("mps", r"device='mps' is not there.*This machine has 'cpu'; leave device"),
        ("meta", r"device='meta' is not there"),
        ("banana", r"one that torch knows; got 'banana'"),
        (3.5, r"one that torch knows; got 3.5"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_is(
    device, message, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        resolve_device(device)


def test_a_gpu_number_beyond_those_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="'cuda:7' is not there.*'cuda:0', 'cuda:1'"):
        resolve_device("cuda:7")
