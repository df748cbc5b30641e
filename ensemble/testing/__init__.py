"""Checks that a combiner of your own keeps the contract of combiners."""

from base_models.testing.contract import ContractError
from ensemble.testing.combiner_checks import check_combiner

__all__ = ["ContractError", "check_combiner"]
