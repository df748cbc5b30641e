"""dlib by itself: find faces, align them, encode them, and put an SVM on top.

    python examples/face_encodings.py [--identities 24] [--method cnn] [videos.csv]

Each frame's faces are found (HOG, or dlib's network with --method cnn), the largest is
cut out with level eyes by its 68 landmarks, and dlib's recognition network turns it
into 128 numbers. A video is the mean of those of its frames, and how much they wander:
a swap that comes and goes wanders more. Without a table (path,label,group) the clips
are home-made swaps of tiny portraits, which say nothing about deepfakes in the wild.
"""

import argparse
import tempfile

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from base_models import DlibFaceFinder
from base_models.faces import crop_face
from base_models.landmarks import encode_faces, image_landmarks
from base_models.video import sample_frames
from ensemble.datasets import make_forgeries, read_videos
from ensemble.metrics import auc, group_bootstrap_interval

MARGIN = 1.6


def encode_video(path, finder, n_frames=8):
    """Return mean and standard deviation of a video's encodings, or NaN: (256,)."""
    crops = []
    for frame in sample_frames(path, n_frames):
        faces = finder.find(frame)
        if faces:
            face = max(faces, key=lambda face: face.area)
            crops.append(crop_face(frame, face, MARGIN, 256, align=True))
    if not crops:
        return np.full(256, np.nan)
    images = np.stack(crops)
    codes = encode_faces(images, np.array(image_landmarks(images, MARGIN)))
    return np.concatenate([codes.mean(axis=0), codes.std(axis=0)])


def main(table, n_identities, method):
    finder = DlibFaceFinder(method=method, landmarks="68")
    with tempfile.TemporaryDirectory() as folder:
        if table is None:
            data = make_forgeries(folder, n_identities=n_identities, random_state=0)
        else:
            data = read_videos(table)
        videos, y = np.array(data[0]), np.array(data[1])
        groups = np.arange(len(y)) if data[2] is None else np.array(data[2])
        encodings = np.array([encode_video(path, finder) for path in videos])

    seen = ~np.isnan(encodings[:, 0])
    print(f"{seen.sum()} of {len(seen)} videos have a face that {method} finds")

    # As a pipeline: which of the numbers to look at, their scale, the SVM.
    def svm(columns):
        return make_pipeline(
            FunctionTransformer(lambda codes: codes[:, columns]),
            StandardScaler(),
            SVC(class_weight="balanced"),
        )

    parts = {
        "who it is (mean)": slice(0, 128),
        "how it wanders (deviation)": slice(128, 256),
        "both": slice(0, 256),
    }
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for name, columns in parts.items():
        score = cross_val_predict(
            svm(columns), encodings[seen], y[seen], groups=groups[seen], cv=folds,
            method="decision_function",
        )  # fmt: skip
        value, low, high = group_bootstrap_interval(
            auc, y[seen], score, groups[seen], random_state=0
        )
        print(f"{name:28} AUC {value:.3f} (95 %: {low:.3f} to {high:.3f})")
    if table is None:
        print("These are home-made swaps; real deepfakes are another matter.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--method", choices=["hog", "cnn"], default="hog")
    options = parser.parse_args()
    main(options.table, options.identities, options.method)
