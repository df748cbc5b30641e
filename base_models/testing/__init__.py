"""Checks that a detector of your own keeps the contract of detectors."""

from base_models.testing.contract import ContractError
from base_models.testing.detector_checks import check_detector

__all__ = ["ContractError", "check_detector"]
