"""Ensembles of toy members that read their scores from the pixels of a video."""

import functools

import numpy as np
import pandas as pd

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble

NAMES = ["a", "b", "c", "d"]
COSTS = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0}
ASKED = []  # which member was asked of how many videos


def video(scores):
    """A video that holds what its members will say, to 16 bits; NaN as a zero."""
    known = ~np.isnan(scores)
    steps = np.where(known, 1 + np.round(np.nan_to_num(scores) * 65000), 0).astype(int)
    frames = np.zeros((2, 4, 8, 3), np.uint8)
    frames[:, : len(scores), 0, 0] = steps // 256
    frames[:, : len(scores), 0, 1] = steps % 256
    return frames


def _read(place, videos):
    ASKED.append((place, len(videos)))
    steps = [256 * int(v[0, place, 0, 0]) + int(v[0, place, 0, 1]) for v in videos]
    return [(step - 1) / 65000 if step else np.nan for step in steps]


def members():
    return {
        name: CallableDetector(functools.partial(_read, place))
        for place, name in enumerate(NAMES)
    }


def drawn(n_videos, seed, quality=(2.5, 2.0, 1.5, 0.5), gaps=0.0):
    """Return scores of four members, labels, and groups of two."""
    draw = np.random.default_rng(seed)
    is_fake = np.arange(n_videos) // 2 % 2
    odds = (2 * is_fake - 1)[:, None] * np.array(quality)
    odds = odds + draw.normal(size=(n_videos, 4)) * 1.2
    odds += 0.7 * np.repeat(draw.normal(size=(n_videos // 2, 1)), 2, axis=0)
    scores = 1 / (1 + np.exp(-odds))
    scores[draw.random(scores.shape) < gaps] = np.nan
    scores[np.isnan(scores).all(axis=1), 0] = 0.5
    return scores, is_fake, np.arange(n_videos) // 2


def fitted(n_videos=160, seed=0, gaps=0.0, **params):
    scores, is_fake, groups = drawn(n_videos, seed, gaps=gaps)
    params = {"resampling": 4, "verbose": False, "member_costs": COSTS} | params
    model = DeepfakeEnsemble(members(), **params)
    return model.fit([video(row) for row in scores], is_fake, groups=groups)


def without_detectors(model, scores, is_fake, groups):
    """Return a copy of an ensemble as a fit on other scores would have left it."""
    import copy
    from dataclasses import replace

    from ensemble.combiner_fit import fit_combiner
    from ensemble.out_of_fold.training_set import TrainingSet
    from ensemble.scores.table import score_table

    ids = [f"v{row:05}" for row in range(len(scores))]
    other = copy.copy(model)
    other.oof_scores_ = score_table(
        scores, ids, NAMES, provenance=model.oof_scores_.attrs["provenance"]
    )
    training = TrainingSet(
        None, ids, ids, is_fake, groups, None, given=np.arange(len(ids))
    )
    every = np.arange(len(ids))
    splits = [(every[every % 4 != k], every[every % 4 == k]) for k in range(4)]
    facts = replace(model.fit_record_.facts, cards={})
    other.fit_record_ = replace(
        model.fit_record_, training=training, splits=splits, facts=facts
    )
    return fit_combiner(other, model.fit_record_.chosen_combiner)


def n_asked(table):
    return table["members_asked"].str.split(", ").str.len().to_numpy()


def plain(model, videos, **how):
    """Judge with everybody."""
    import copy

    return pd.DataFrame(copy.copy(model).set_params(cascade=None).judge(videos, **how))
