"""How P(fake) of one video comes about: frames, members, combination, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.scoring.in_steps import WHOLE
from ensemble.cascade.stages import stage_of_stopped
from ensemble.verdicts.asked import quarters_asked
from ensemble.verdicts.member_scores import combined_scores
from ensemble.verdicts.threshold_and_prior import to_probability

_FOR_SHARE = "for a share of fakes"
_EVEN = 0.5  # what a score says that says nothing
_FAR = 0.2  # from the nearest member's score, before it is spoken of


@dataclass(frozen=True)
class ScoreSteps:
    """What was made of what, up to the P(fake) that the verdict stands on.

    Attributes
    ----------
    members : DataFrame
        By detector: ``frames``, how many of them its score pools; ``low`` and ``high``,
        its lowest and highest score of these; ``pooling``; ``p_fake``, its score of
        the video; ``weight`` in the combiner, NaN where that has none; ``moved``, by
        how many log-odds it moved the combined score (`Combiner.contributions`).
    steps : list of (str, float)
        What each step on the way is, and P(fake) after it; the last is the verdict's.
    start : float, default=nan
        What the combiner says where no member moves anything: its constant.
    """

    members: pd.DataFrame
    steps: list
    start: float = np.nan

    @property
    def pull(self) -> str:
        """Say that the score stands far from its members', towards the middle, and why.

        Returns
        -------
        str
            A sentence; empty where it does not.

        Examples
        --------
        >>> members = pd.DataFrame({"p_fake": [0.997, 0.999]})
        >>> ScoreSteps(members, [("members combined (stacking)", 0.503)]).pull[:61]
        'The members say 0.997 to 0.999, and 0.503 is made of it: this'
        >>> ScoreSteps(members, [("members combined (soft)", 0.998)]).pull
        ''
        """
        if "weight" in self.members and (self.members["weight"] == 0).all():
            return (
                "No member has any weight, so that every video gets this score: out "
                "of fold their scores told nothing of whether a video is fake."
            )
        scores = self.members["p_fake"].dropna()
        own = [p_fake for step, p_fake in self.steps if not step.startswith(_FOR_SHARE)]
        if scores.empty or not own:
            return ""
        low, high, made = scores.min(), scores.max(), own[-1]
        nearest = min(max(made, low), high)
        is_inwards = abs(made - _EVEN) < abs(nearest - _EVEN)
        if abs(made - nearest) < _FAR or not is_inwards:
            return ""
        said = (
            f"{low:.3f}"
            if f"{low:.3f}" == f"{high:.3f}"
            else f"{low:.3f} to {high:.3f}"
        )
        return (
            f"The members say {said}, and {made:.3f} is made of it: this model found, "
            "on videos that its members had not learned from, that such scores tell "
            "little of whether a video is fake, and lets them count for little."
        )

    def to_dict(self) -> dict[Any, Any]:
        """Return both, ready for JSON but for NaN.

        Returns
        -------
        dict
        """
        return {
            "members": self.members.reset_index().to_dict("records"),
            "steps": [{"step": step, "p_fake": p_fake} for step, p_fake in self.steps],
            "start": self.start,
            "pull": self.pull,
        }


def score_steps(model: Any, table: pd.DataFrame, timeline: pd.DataFrame) -> ScoreSteps:
    """Follow the score of a video from its frames to the verdict.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (1, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.
    timeline : DataFrame
        Of `ScanResult`.

    Returns
    -------
    ScoreSteps
    """
    weights, combiner, asked = model.weights_, model.combiner_, table
    moved = pd.Series(np.nan, table.columns)
    steps, start = [], np.nan
    if (
        quarters_asked(table) != WHOLE
    ).any():  # settled by a combiner of those that were
        combiner, asked = _of_stage(model, table)
        weights, steps = None, _steps_of_stage(model, combiner, table, asked)
    elif table.notna().to_numpy().any():
        steps = _steps(model, table)
    if steps:
        moved[asked.columns] = combiner.contributions(asked).iloc[0].to_numpy()
        start = combiner.neutral_score()
    rows = []
    for name, found in model.detectors_.items():
        pooled = timeline[(timeline["detector"] == name) & timeline["pooled"]]
        rows.append(
            {
                "frames": len(pooled),
                "low": pooled["score"].min() if len(pooled) else np.nan,
                "high": pooled["score"].max() if len(pooled) else np.nan,
                "pooling": _pooling(found, pooled) if len(pooled) else "",
                "p_fake": float(table[name].iloc[0]),
                "weight": np.nan if weights is None else float(weights[name]),
            }
        )
    members = pd.DataFrame(rows, pd.Index(table.columns, name="detector"))
    members["moved"] = np.where(table.iloc[0].notna(), moved.to_numpy(), np.nan)
    return ScoreSteps(members, steps, start)


def _of_stage(model, table):
    """Return the combiner of the members that were asked, and their scores."""
    (quarters,) = quarters_asked(table)
    asked = {n: int(q) for n, q in zip(table.columns, quarters, strict=True) if q}
    stage = stage_of_stopped(model, asked)
    if stage is None:
        return model.combiner_, table
    return stage.combiner, table[list(asked)]


def _steps_of_stage(model, combiner, table, asked):
    (p_fake,) = combined_scores(model, table)
    return [
        ("members asked, combined", float(combiner.fake_score(asked)[0])),
        ("settled, the others not asked", float(p_fake)),
    ]


def _steps(model, table):
    named = model.fit_record_.chosen_combiner
    name = named if isinstance(named, str) else type(model.combiner_).__name__
    score = model.combiner_.fake_score(table)
    steps = [(f"members combined ({name})", float(score[0]))]
    if model.calibrator_ is not None:
        steps.append((f"calibrated ({model.calibration})", float(
            model.calibrator_(score)[0])))  # fmt: skip
    if model.prior is not None:
        share = f"{100 * model.prior:.3g}"
        steps.append((f"{_FOR_SHARE} of {share} %",
                      float(to_probability(model, score)[0])))  # fmt: skip
    return steps


def _pooling(found, frames):
    """How a detector makes one score of those of its frames."""
    members = found if isinstance(found, list) else [found]
    pooling = getattr(members[0], "pooling", "all frames as a whole")
    if not isinstance(pooling, str):
        pooling = getattr(pooling, "__name__", type(pooling).__name__)
    n_faces = frames["face"].nunique()
    if n_faces > 1 and getattr(members[0], "faces", "largest") != "all":
        pooling += f"; log-odds of {n_faces} faces averaged"
    return pooling + f"; {len(members)} fits averaged" * (len(members) > 1)
