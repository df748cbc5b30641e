"""A rule in words and numbers."""

from __future__ import annotations

from typing import Any


def describe_rule(rule: Any) -> str:
    """Return what a rule does, in words and numbers: see `ScorePipeline.describe`."""
    thresholds = rule.thresholds_
    return f"{thresholds.where} {thresholds.set_on}"
