"""A fitted ensemble that says nothing of its training videos but numbers."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Any

import joblib

from base_models.groups import group_codes
from ensemble.scores.provenance import Provenance
from ensemble.scores.table import companions, score_table


def without_names(model: Any) -> Any:
    """Return a copy of a fitted ensemble in which training videos are numbers.

    Names and paths, groups and hashes of contents become numbers. Labels, scores,
    which videos are of one group, what `describe` said, and the networks' weights stay;
    the name of the folder or list that the videos came from does not.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    DeepfakeEnsemble
    """
    record, table = model.fit_record_, model.oof_scores_
    training, n_videos = record.training, len(record.training)
    names = {old: f"video-{row}" for row, old in enumerate(training.ids)}
    skipped = Provenance.of(table).skipped_videos
    names |= {old: f"skipped-{row}" for row, old in enumerate(skipped)}
    groups = None
    if training.groups is not None:
        groups = group_codes(training.groups, n_videos)
    new = copy.copy(model)
    new.oof_scores_ = _renamed(table, names, training, groups)
    nameless = replace(
        training,
        videos=None,
        digests=[joblib.hash(f"{row} of {n_videos}") for row in range(n_videos)],
        ids=[names[old] for old in training.ids],
        groups=groups,
    )
    facts = replace(record.facts, cards={})
    if not facts.described and not record.unlabelled:
        facts.data = ""  # the name of a folder or list, which may be somebody's
    new.fit_record_ = replace(
        record, training=nameless, facts=facts, evidence=None, file=None
    )
    new.detectors_ = {
        name: [_nameless(one) for one in each]
        if isinstance(each, list)
        else _nameless(each)
        for name, each in model.detectors_.items()
    }
    return new


def _renamed(table, names, training, groups):
    beside = companions(table)
    columns = {
        name: beside[name].tolist()
        for name in ("label", "group", "fold")
        if beside[name].notna().any()
    }
    if groups is not None:
        columns["group"] = groups[training.rows(table.index)].tolist()
    known = table.attrs.get("reason", {})
    reasons = {
        detector: {
            names[row]: _hidden(why, {row: names[row]}) for row, why in rows.items()
        }
        for detector, rows in known.items()
    }
    provenance = dict(table.attrs.get("provenance") or {})
    for name in ("skipped_videos", "failed_detectors"):
        if provenance.get(name):
            provenance[name] = {
                names.get(key, key): _hidden(
                    why, names if key not in names else {key: names[key]}
                )
                for key, why in provenance[name].items()
            }
    index = [names[row] for row in table.index]
    return score_table(
        table.to_numpy(), index, list(table.columns), reasons=reasons,
        provenance=provenance, **columns,
    )  # fmt: skip


def _hidden(text, names):
    """Leave names out of a reason, the longest first, whole and without folders."""
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(old, names[old])
        if "." in (name := os.path.basename(old)):
            text = text.replace(name, names[old])
    return text


def _nameless(detector, depth=4):
    """Return a detector, and detectors in it, without the videos that it left out."""
    if not hasattr(detector, "get_params") or not depth:
        return detector
    new = copy.copy(detector)
    if getattr(new, "unscorable_", None):
        new.unscorable_ = {
            f"left-out-{number}": _hidden(why, {video: f"left-out-{number}"})
            for number, (video, why) in enumerate(new.unscorable_.items())
        }
    for name, value in vars(detector).items():
        if hasattr(value, "unscorable_"):
            setattr(new, name, _nameless(value, depth - 1))
    return new
