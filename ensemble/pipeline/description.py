"""A rule in words and numbers: for a person to check, and to compute by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from ensemble.decision.thresholds import percent
from ensemble.pipeline.judging import ENOUGH
from ensemble.pipeline.linear import LinearForm, NotLinearError, linear_form
from ensemble.pipeline.tables import negated_columns
from ensemble.verdicts.doubts import FEWEST_ALIKE

_SCALES = {
    "log_odds": "ln(p / (1 - p))",
    "standard": "the score less its mean in training, in standard deviations",
    "rank": "the share of the training scores that are lower",
    "probability": "the score itself",
    None: "the score itself",
}
_MOST_KNOTS = 12  # of a staircase that is printed whole


def describe_rule(rule: Any) -> str:
    """Return what a rule does, in words and numbers: see `ScorePipeline.describe`.

    Parameters
    ----------
    rule : ScorePipeline
        Fitted.

    Returns
    -------
    str
    """
    names = rule.detector_names_
    try:
        form = linear_form(rule.combiner_, names)
    except NotLinearError as error:
        steps = _not_linear(rule, names, str(error))
    else:
        steps = _scales(form) + _sum(form)
    doubt = rule.doubt_  # of rates over draws of the groups, which take a while
    lines = [
        _learned_from(rule),
        *_inputs(rule, names),
        *steps,
        *_calibration(rule),
        *_prior(rule),
        *_interval(rule),
        *_decision(rule, doubt),
        *_errors(rule, doubt),
    ]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{float(value):.6g}"


def _signed(value: Any) -> str:
    return f"{'-' if value < 0 else '+'} {_number(abs(value))}"


def _learned_from(rule):
    evidence = rule.evidence()
    is_fake, codes = evidence.is_fake, evidence.groups
    if not len(is_fake):  # a class in one group: fitted, and scored by no other fit
        is_fake, codes = rule._is_fake, rule._groups
    n_fake = int(is_fake.sum())
    groups = "no groups were given"
    if codes is not None:
        groups = f"{len(np.unique(codes))} groups"
    n_detectors = len(rule.detector_names_)
    of_whom = "1 detector" if n_detectors == 1 else f"{n_detectors} detectors"
    return (
        f"A rule on the scores of {of_whom}, learned from "
        f"{len(is_fake) - n_fake} real and {n_fake} fake videos ({groups})."
    )


def _inputs(rule, names):
    lines = ["", "Scores, higher meaning fake:"]
    for name, (low, high) in zip(names, rule.score_range_, strict=True):
        known = f"{_number(low)} to {_number(high)} in training"
        if np.isnan(low):
            known = "no score in training, not used"
        turned = ""
        if name in rule.inverted_:
            how = "-x" if name in negated_columns(rule) else "1 - x"
            turned = f", after it was turned round ({how})"
        lines.append(f"  {name}: {known}{turned}")
    lines.append(
        "  A score outside this range by more than half its width (from 0 to 1 counted "
        "in log-odds) leaves the verdict UNSURE."
    )
    return lines + _partial(rule, names)


def _partial(rule, names):
    """Say which verdict rows get that lack some detectors' scores."""
    if len(rule.detector_names_) < 2 or not hasattr(rule, "patterns_"):
        return []
    partial = (rule.patterns_ != rule.trained_).any(axis=1)
    n_partial, n_videos = rule.n_of_pattern_[partial].sum(), rule.n_of_pattern_.sum()
    return [
        f"  Of {n_videos} training videos {n_partial or 'none'} lacked a score of a "
        "detector; the figures below include them. A video is UNSURE if the detectors "
        f"that scored it carry less than {percent(ENOUGH)} of the rule's information, "
        f"unless {FEWEST_ALIKE} or more training videos were scored by the same "
        "detectors." + _carried(rule, names)
    ]


def _carried(rule, names):
    """Say which share of the rule's information comes from each detector."""
    shares = getattr(rule, "shares_", None)  # files of before have none
    if shares is None:
        return ""
    parts = [f"{percent(s)} {n}" for s, n in zip(shares, names, strict=True)]
    return f" Each detector's share of it: {', '.join(parts)}."


def _scales(form: LinearForm) -> list[str]:
    lines = ["", "Scale:"]
    for column in form.columns:
        if column.map is not None:
            lines.append(f"  {column.name}: {_map(column.map)}")
    scale = form.columns[0].scale
    name = scale["name"]
    if name == "log_odds":
        clip = _number(scale["clip"])
        lines.append(
            f"  each score p is kept {clip} or more away from 0 and 1; "
            "x = ln(p / (1 - p))"
        )
    elif name == "standard":
        lines += [
            f"  {column.name}: x = (p - {_number(column.scale['mean'])}) / "
            f"{_number(column.scale['spread'])}"
            for column in form.columns
        ]
    elif name == "rank":
        lines.append(
            "  x is the share of the training scores that are lower, those that are "
            "equal counting half"
        )
        lines += [
            f"  {column.name}: {_knots(column.scale['values'], column.scale['ranks'])}"
            for column in form.columns
        ]
    else:
        lines.append("  x is the score itself")
    if form.columns[0].reach is not None:
        lines.append(
            "  beyond what training held, x counts for less: with d its distance from "
            "the nearer end, the end and d / (1 + |d| / spread)"
        )
        lines += [
            f"  {column.name}: ends {_number(low)} and {_number(high)}, spread "
            f"{_number(spread)}"
            for column in form.columns
            for low, high, spread in [column.reach or (0.0, 0.0, 0.0)]
        ]
    if form.neutral:
        lines.append(f"  then x is counted from {_number(form.neutral)}")
    return lines


def _map(how: dict[str, Any]) -> str:
    if how["name"] == "rank":
        return "p is its rank among the training scores; " + _knots(
            how["values"], how["ranks"]
        )
    return (
        f"p = 1 / (1 + exp(-z)) with z = (score - {_number(how['mean'])}) / "
        f"{_number(how['spread'])}"
    )


def _knots(values, ranks):
    """Say where a staircase goes, whole where it is short."""
    if len(values) > _MOST_KNOTS:
        at = np.linspace(0, len(values) - 1, _MOST_KNOTS).round().astype(int)
        shown, more = np.asarray(values)[at], f" (some of {len(values)} points)"
        ranks = np.asarray(ranks)[at]
    else:
        shown, more = values, ""
    points = ", ".join(
        f"{_number(value)} -> {_number(rank)}"
        for value, rank in zip(shown, ranks, strict=True)
    )
    return f"between these points by straight lines{more}: {points}"


def _sum(form: LinearForm) -> list[str]:
    what = "log-odds" if form.logistic else "score"
    terms = " ".join(
        f"{_signed(column.weight)} * x[{column.name}]" for column in form.columns
    )
    lines = [
        "",
        "Combination:",
        f"  {what} = {_number(form.intercept)} {terms}",
    ]
    if len(form.columns) > 1:
        lines.append(
            "  a missing score: the weights of the others are multiplied by one factor "
            f"so that their sum stays {_number(form.total)}; if they have none, all "
            "weigh alike"
        )
    lines.append("  without any score there is no P(fake), and the verdict is UNSURE")
    if form.logistic:
        lines.append("  combined score s = 1 / (1 + exp(-log-odds))")
    else:
        lines.append("  combined score s = score")
    return lines


def _not_linear(rule, names, why):
    combiner = rule.combiner_
    shown = clone(combiner)
    if "verbose" in shown.get_params(deep=False):
        shown.set_params(verbose=False)
    lines = [
        *_scales_of(combiner, names),
        "",
        "Combination:",
        f"  {shown!r}",
        f"  ({why}; the file computes it)",
    ]
    reason = getattr(combiner, "reason_", None)
    if reason:
        lines.append(f"  {reason}")
    weights = rule.weights_
    if weights is not None:
        parts = ", ".join(
            f"{_number(w)} {name}" for name, w in zip(names, weights, strict=True)
        )
        what = "weights of the detectors"
        if hasattr(combiner, "candidate_weights_"):
            what = "share of each detector in how far the score moves"
        lines.append(f"  {what}: {parts}")
    lines.append("  without any score there is no P(fake), and the verdict is UNSURE")
    return lines


def _scales_of(combiner, names):
    """Say on which scales a combiner that is no weighted sum takes the scores."""
    maps = getattr(combiner, "maps_", None)
    lines = [
        f"  {name}: {_map(how)}"
        for name, how in zip(names, maps or [], strict=bool(maps))
        if how is not None
    ]
    each = {"": combiner}
    if hasattr(combiner, "candidate_weights_"):
        each = combiner.combiners_
    by_scale: dict[str, list[str]] = {}
    for one, fitted in each.items():
        scale = getattr(fitted, "scale_", None)
        if scale is not None:
            by_scale.setdefault(_SCALES[scale["name"]], []).append(one)
    for scale, ones in by_scale.items():
        of_whom = f" (of {', '.join(ones)})" if len(by_scale) > 1 else ""
        lines.append(f"  x is {scale}{of_whom}")
    return ["", "Scale:", *lines] if lines else []


def _calibration(rule):
    lines = ["", "Calibration, learned from out-of-fold combined scores:"]
    calibrator = rule.calibrator_
    if calibrator is None:
        return [
            *lines[:1],
            "Calibration: none; P(fake) = s orders videos and is no probability.",
        ]
    numbers, method = calibrator.parameters_, calibrator.method
    if method in ("platt", "temperature", "beta"):
        lines += _features(method, calibrator.reach_)
    if method == "platt":
        slope, intercept = _number(numbers["slope"]), _number(numbers["intercept"])
        lines.append(f"  calibrated log-odds = {intercept} + {slope} * t  (platt)")
    elif method == "temperature":
        divisor = _number(numbers["temperature"])
        lines.append(f"  calibrated log-odds = t / {divisor}  (temperature)")
    elif method == "beta":
        a, b, c = (_number(numbers[name]) for name in "abc")
        lines.append(f"  calibrated log-odds = {c} + {a} * t1 + {b} * t2  (beta)")
    elif method == "isotonic":
        points = _knots(numbers["scores"], numbers["values"])
        lines.append(f"  P(fake) of s lies {points}  (isotonic)")
    else:
        lines.append(
            f"  Venn-Abers on {len(numbers['scores'])} different scores: p0 and p1 are "
            "isotonic regression with the video added as real and as fake, and P(fake) "
            "= p1 / (1 - p0 + p1)"
        )
    if method in ("platt", "temperature", "beta"):
        lines.append("  P(fake) = 1 / (1 + exp(-calibrated log-odds))")
    return lines


def _features(method, reach):
    names, forms = ["t"], ["t = ln(s / (1 - s))"]
    if method == "beta":
        names, forms = ["t1", "t2"], ["t1 = ln(s), t2 = -ln(1 - s)"]
    lines = [f"  {forms[0]}, with s kept within 1e-12 to 1 - 1e-12"]
    lines += [
        f"  {name} beyond {_number(reach['low'][place])} or "
        f"{_number(reach['high'][place])} counts for less, by a spread of "
        f"{_number(reach['spread'][place])}: the end and d / (1 + |d| / spread)"
        for place, name in enumerate(names)
    ]
    return lines


def _prior(rule):
    share = percent(rule.fitted_prior_)
    if rule.prior is None and rule.calibrator_ is None:
        return []
    if rule.prior is None:
        return [
            f"  It assumes that {share} of your videos are fake; if fakes are rarer, "
            "give their share (--prior 0.01, in Python prior=0.01)."
        ]
    moved = _signed(_odds(rule.prior) - _odds(rule.fitted_prior_))
    return [
        "",
        f"Prior: brought from a share of fakes of {share} to {percent(rule.prior)}:",
        f"  log-odds of P(fake) {moved}",
    ]


def _interval(rule):
    of_what = "videos" if rule.evidence().groups is None else "groups"
    if rule.calibrator_ is None or rule.n_boot == 0:
        return []
    return [
        "",
        "Interval of P(fake): where the share of fakes among videos of this combined "
        f"score lies in {percent(rule.level)} of {rule.n_boot} draws of the {of_what}. "
        "It knows how few videos the calibration was learned from, and nothing of "
        "missing detectors or videos of another kind. Its coverage was tested on "
        "simulated scores only.",
    ]


def _odds(share):
    return float(np.log(share / (1 - share)))


def _decision(rule, doubt):
    thresholds = rule.thresholds_
    where = (
        f"FAKE is said where P(fake) is above {_number(thresholds.high)}, else REAL."
    )
    if thresholds.three_way:
        where = (
            f"FAKE is said where P(fake) is above {_number(thresholds.high)}, REAL "
            f"where it is below {_number(thresholds.low)}, UNSURE in between."
        )
    lines = ["", "Decision:", f"  {where} {thresholds.set_on}"]
    if rule.abstain:
        lines.append("  UNSURE also where a threshold lies within a video's interval.")
    if doubt:
        lines.append(f"  But every verdict is UNSURE: {doubt}.")
    return lines


def _errors(rule, doubt):
    evidence = rule.evidence()
    if not len(evidence.score):
        return ["", f"Errors: unknown; {doubt}."]
    groups, seen = "groups", "its group"
    if evidence.groups is None:
        groups, seen = "single videos", "it"
    auc = rule.auc_
    new = ", nor its method or source (shift)" if rule.shifted_ else ""
    what = "these verdicts"
    if doubt:
        what = "what the verdicts would be, were they not all UNSURE,"
    lines = [
        "",
        f"Errors of {what} out of fold: every video by a combiner that had not "
        f"seen {seen}{new}; intervals of 95 % over {groups}. Threshold and "
        "calibration were set on the same scores, so these are slightly optimistic.",
        f"  AUC: {auc.estimate:.3f} ({auc.low:.3f} to {auc.high:.3f})",
    ]
    for name, row in rule.rates_.iterrows():
        lines.append(
            f"  {name}: {percent(row['rate'])} ({percent(row['low'])} to "
            f"{percent(row['high'])}) of {int(row['n_videos'])} videos"
        )
    if rule.prior is not None:
        lines.append(
            f"  These videos are {percent(evidence.is_fake.mean())} fake; wrong and "
            f"unsure are of this mix, not of the prior's {percent(rule.prior)}."
        )
    return lines
