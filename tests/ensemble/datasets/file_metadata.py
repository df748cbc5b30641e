"""How well what is known of a file, without its face, tells real from fake."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from base_models.video import probe_video, sample_frames


def metadata_aucs(table):
    """Return the AUC in each of four folds of groups."""
    features = np.array([_metadata(video) for video in table.videos])
    labels, groups = np.array(table.labels, int), np.array(table.groups)
    aucs = []
    for train, test in GroupKFold(4).split(features, labels, groups):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced")
        )
        model.fit(features[train], labels[train])
        scores = model.decision_function(features[test])
        aucs.append(roc_auc_score(labels[test], scores))
    return aucs


def _metadata(video):
    info = probe_video(video)
    frames = sample_frames(video, 4).astype(float)
    return [
        np.log(info.file_size),
        np.log(info.bit_rate),
        info.n_frames,
        info.seconds,
        frames.mean(),
        frames.std(),
    ]
