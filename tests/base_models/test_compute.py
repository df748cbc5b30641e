import pytest
import torch

from base_models.compute import fixed_threads, repeatable, resolve_threads


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
