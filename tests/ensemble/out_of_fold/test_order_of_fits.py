import joblib
import pytest

from base_models import CallableDetector, FrameDetector, FrequencyDetector
from ensemble import out_of_fold_scores
from ensemble.out_of_fold import fitting
from ensemble.out_of_fold.tasks import costly_first


class Timed(CallableDetector):
    """Says how long it takes, and is as good as any."""

    def __init__(self, seconds=0.0):
        super().__init__(_bright)
        self.seconds = seconds

    def estimate_fit_seconds(self, n_videos):
        return self.seconds * n_videos


def _bright(videos):
    return [video.mean() / 255 for video in videos]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_costly_are_begun_first_where_fits_run_side_by_side(
    noise, monkeypatch, n_jobs
):
    videos, y, _ = noise(0)
    begun = []

    def note(detector, *arguments):
        begun.append(detector.seconds)
        return plain(detector, *arguments)

    plain = fitting.fit_and_score
    monkeypatch.setattr(fitting, "fit_and_score", note)
    monkeypatch.setattr(fitting, "jobs_that_fit", lambda *_: n_jobs)
    folds = [(range(8, 40), range(8)), (range(8), range(8, 40))]
    members = {"quick": Timed(1.0), "unknown": Timed(0.0), "slow": Timed(2.0)}
    with joblib.parallel_config("threading"):
        table = out_of_fold_scores(members, videos, y, range(40), resampling=folds)
    assert table.notna().all(axis=None)
    expected = [2.0, 2.0, 1.0, 1.0, 0.0, 0.0]
    if n_jobs == 1:  # in the order given
        expected = [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]
    assert begun == expected


def test_networks_come_before_what_only_measures_and_large_folds_before_small():
    members = {
        "frequency": FrequencyDetector(),
        "network": FrameDetector("mesonet4", train="head", device="cpu"),
    }
    splits = [([0, 1], [2, 3, 4]), ([2, 3, 4], [0, 1])]
    tasks = fitting._tasks(
        list(members.items()), 5, splits, fitting.FitSettings("refit"), False
    )
    order = costly_first(tasks, fitting._fit_seconds(tasks))
    assert [(task.column, len(task.train)) for task in order] == [
        (1, 5), (1, 3), (1, 2), (0, 5), (0, 3), (0, 2),
    ]  # fmt: skip
