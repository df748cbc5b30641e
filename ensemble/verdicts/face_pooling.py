"""Pools scores over the faces of a video, and says where these disagree.

Members look at one face of a video, as a rule the largest. Where several faces of like
size are there, each is scored by itself: all members' scores of a face are set side by
side, and only then are faces pooled, so that the row that a combiner gets is about the
same face in every column.
"""

import copy
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from ensemble.decision.named_thresholds import to_probability
from ensemble.out_of_fold.fitting import fit_over_splits
from ensemble.scores.table import score_table

POOLINGS = ("largest", "worst", "mean")
_HELD = 1e-6  # from 0 and 1, so that log-odds are finite


def check_faces_pooling(how):
    """Refuse what is no way to pool over faces.

    Parameters
    ----------
    how : str
    """
    if how not in POOLINGS:
        raise ValueError(f"faces_pooling must be one of {POOLINGS}; got {how!r}")


def pool_faces(scores, how):
    """Make one row of the scores of several faces.

    Parameters
    ----------
    scores : ndarray of shape (n_faces, n_detectors)
        P(fake), NaN where there is none.
    how : {"worst", "mean"}
        ``"worst"``: the row of the face whose mean of log-odds is highest.
        ``"mean"``: of each detector the mean of its log-odds.

    Returns
    -------
    row : ndarray of shape (n_detectors,)
    face : int
        Which face the row is of; 0 for the mean.

    Examples
    --------
    >>> scores = np.array([[0.2, 0.3], [0.9, 0.4]])
    >>> pool_faces(scores, "worst")
    (array([0.9, 0.4]), 1)
    >>> pool_faces(scores, "mean")[0].round(3)
    array([0.6  , 0.348])
    """
    known = ~np.isnan(scores)
    odds = np.where(known, logit(np.clip(scores, _HELD, 1 - _HELD)), 0)
    axis = 1 if how == "worst" else 0
    n_known = known.sum(axis=axis)
    means = np.where(n_known, odds.sum(axis=axis) / np.maximum(n_known, 1), np.nan)
    if how == "mean":
        return expit(means), 0
    face = 0 if np.isnan(means).all() else int(np.nanargmax(means))
    return scores[face], face


def fit_with_faces(named, training, splits, how, **settings):
    """Fit detectors over splits; score every face, and pool over the faces of a video.

    Detectors learn from the face that they choose themselves: of a fake video with two
    people nobody knows that both are fake. Every face of a test video is scored, as it
    will be in new videos, so that what is set on these scores holds for them.

    Parameters
    ----------
    named, training, splits, **settings
        As for `ensemble.out_of_fold.fit_over_splits`.
    how : {"largest", "worst", "mean"}
        As for `DeepfakeEnsemble`.

    Returns
    -------
    OutOfFold
    """
    if how == "largest":
        return fit_over_splits(named, training, splits, **settings)
    from base_models.scoring.several_faces import faces_of

    detectors = [detector for _, detector in named]
    _look_at_all(detectors, training.videos, settings)
    faces, owner = [], []
    for row, video in enumerate(training.videos):
        found = faces_of(video, detectors, settings.get("store"))
        faces += found
        owner += [row] * len(found)
    owner, n_videos = np.array(owner, int), len(training)
    outcome = fit_over_splits(
        named,
        _extended(training, faces, owner),
        [
            (train, np.r_[test, n_videos + np.flatnonzero(np.isin(owner, test))])
            for train, test in splits
        ],
        n_trained=n_videos,
        **settings,
    )
    scores, reasons = outcome.scores[:n_videos], outcome.reasons[:n_videos]
    for row in np.unique(owner):
        own = n_videos + np.flatnonzero(owner == row)
        scores[row], face = pool_faces(outcome.scores[own], how)
        reasons[row] = outcome.reasons[own[face]]
    provenance = {
        **outcome.provenance,
        "faces_pooling": how,
        "several_faces": len(np.unique(owner)),
    }
    return replace(outcome, scores=scores, reasons=reasons, provenance=provenance)


def _look_at_all(detectors, videos, settings):
    """Make all views once, ahead of their use; boxes of faces are kept with them."""
    from base_models.runtime.progress import progress_bar
    from base_models.store.store import resolve_store
    from base_models.views.making import iter_views

    recipes = {
        recipe.key: recipe
        for detector in detectors
        if hasattr(detector, "view_recipes")
        for recipe in detector.view_recipes()
    }
    if not any(recipe.view == "face" for recipe in recipes.values()):
        return
    made = iter_views(videos, recipes.values(), resolve_store(settings.get("store")))
    text = "looking at videos" if settings.get("verbose") else None
    for _ in progress_bar(made, text, len(videos)):
        pass  # they lie in the store


def _extended(training, faces, owner):
    """Add faces as rows of their own, each like the video that it is of."""
    from base_models.video.paths import video_digest, video_id

    rows = np.r_[np.arange(len(training)), owner]
    return replace(
        training,
        videos=[*training.videos, *faces],
        digests=[*training.digests, *map(video_digest, faces)],
        ids=[*training.ids, *map(video_id, faces)],
        is_fake=training.is_fake[rows],
        groups=None if training.groups is None else training.groups[rows],
        weight=None if training.weight is None else training.weight[rows],
    )


def fitted_pooling(model):
    """Return how an ensemble pools over faces: as its combiner was fitted.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If another way was set after the fit.
    """
    fitted = model.oof_scores_.attrs["provenance"].get("faces_pooling", "largest")
    if model.faces_pooling != fitted:
        raise ValueError(
            f"faces_pooling={model.faces_pooling!r} was set after a fit with "
            f"{fitted!r}: combiner and thresholds were set on scores pooled so; fit "
            "again, which finds fitted detectors in the store, or set it back"
        )
    return fitted


def named_members(model):
    """Name every fitted detector, one by one where several are averaged.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    list of (str, detector)
    """
    return [
        (f"{name} {i}" if isinstance(members, list) else name, member)
        for name, members in model.detectors_.items()
        for i, member in enumerate(members if isinstance(members, list) else [members])
    ]


def combined_scores(model, table):
    """Return P(fake) from the detectors' scores, NaN for what ends without a score.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)

    Returns
    -------
    ndarray of shape (n_videos,)

    Raises
    ------
    ValueError
        For a score outside 0..1.
    """
    score = np.full(len(table), np.nan)
    scored = table.notna().any(axis=1).to_numpy()
    outside = table.lt(0) | table.gt(1)
    if outside.to_numpy().any():
        name = outside.columns[outside.any()][0]
        raise ValueError(
            f"detectors' scores must be P(fake), 0 to 1, or NaN; {name} has "
            f"{table[name][outside[name]].iloc[0]}"
        )
    if scored.any():
        combined = model.combiner_.fake_score(table[scored])
        score[scored] = to_probability(model, combined)
    return score


def face_scores(model, members, video, scores, reasons):
    """Score the faces of a video by themselves, where there are several.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    members : list of (name, detector)
    video : str, Path or ndarray
    scores, reasons : ndarray of shape (n_members,)
        What the members say of the video.

    Returns
    -------
    (scores, reasons) or None
        Both of shape (n_faces, n_members); None where there are no several faces.
    """
    from base_models.scoring.several_faces import faces_of, score_faces

    # Copies: the members may be in the midst of other videos, whose views they note.
    members = [(name, copy.copy(member)) for name, member in members]
    found = faces_of(video, [member for _, member in members], model.store)
    if not found:
        return None
    return score_faces(members, found, model.store, (scores, reasons))


def members_table(model, ids, scores, reasons, faces):
    """Lay what the members say as a score table; average those of one name.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    ids : list of str
        Of the videos.
    scores, reasons : ndarray of shape (n_videos, n_members)
    faces : sequence of ((scores, reasons) or None)
        One a video, from `face_scores`: where there are several, the row of the video
        is pooled over them as the model was fitted.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
        ``attrs["faces"]`` has, by video with several faces, the detectors' ``scores``
        of each and the place of the one that is ``decisive``: None where the detectors
        choose themselves, or all faces count.
    """
    how = fitted_pooling(model)
    lengths = [
        len(found) if isinstance(found, list) else 1
        for found in model.detectors_.values()
    ]
    named = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    means, why = _averaged(scores, reasons, named)
    several = {}
    for row, found in enumerate(faces):
        if found is None:
            continue
        of_faces, why_of_faces = _averaged(*found, named)
        decisive = None
        if how != "largest":
            means[row], place = pool_faces(of_faces, how)
            why[row] = why_of_faces[place]
            decisive = place if how == "worst" else None
        several[ids[row]] = {"scores": of_faces.tolist(), "decisive": decisive}
    table = score_table(means, ids, list(model.detectors_), reasons=why)
    table.attrs["faces"] = several
    return table


def _averaged(scores, reasons, named):
    """Mean of the scores of each name's members; what is said of the first that has."""
    rows, means, why = np.arange(len(scores)), [], []
    for at in named:
        own = scores[:, at]
        known = ~np.isnan(own)
        with np.errstate(invalid="ignore"):
            means.append(np.where(known, own, 0).sum(axis=1) / known.sum(axis=1))
        why.append(reasons[rows, at[np.argmax(known, axis=1)]])
    return np.column_stack(means), np.column_stack(why)


def deciding_faces(model, table, video):
    """Return the faces that decide about a video with several.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (1, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.
    video : str, Path or ndarray

    Returns
    -------
    list of OneFace or None
        None where each detector chooses the face that it looks at.
    """
    from base_models.scoring.several_faces import faces_of

    how, several = fitted_pooling(model), table.attrs["faces"].get(table.index[0])
    if how == "largest" or several is None:
        return None
    faces = faces_of(video, [member for _, member in named_members(model)], model.store)
    return faces if how == "mean" else [faces[several["decisive"]]]


def disagreements(model, table):
    """Say of which videos the faces get different verdicts.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.

    Returns
    -------
    dict of str to str
        By video.
    """
    found = {}
    for video, several in table.attrs.get("faces", {}).items():
        if video not in table.index:
            continue
        ids = [f"face {number}" for number in range(1, len(several["scores"]) + 1)]
        of_faces = score_table(several["scores"], ids, list(table.columns))
        p_fake = combined_scores(model, of_faces)
        verdicts = model.thresholds_.verdicts(p_fake)
        if len({verdict for verdict in verdicts if verdict}) > 1:
            said = [
                f"{p:.3f}" + " (the largest)" * (not place)
                for place, p in enumerate(p_fake)
                if not np.isnan(p)
            ]
            found[video] = f"its faces disagree, P(fake) {', '.join(said)}"
    return found
