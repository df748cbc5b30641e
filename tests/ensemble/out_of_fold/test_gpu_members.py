"""Fits say which of them want a GPU of the cluster."""

import pytest

from base_models import FlickerDetector, FrequencyDetector
from base_models.runtime import devices, parallel
from ensemble import out_of_fold_scores


@pytest.mark.slow
def test_fits_of_members_on_a_gpu_ask_for_one_and_others_do_not(
    toy_videos, tmp_path, monkeypatch
):
    asked, run_tasks = [], parallel.run_tasks

    def noted(function, tasks, n_jobs=None, give_up=None, needs_gpu=False):
        tasks = list(tasks)
        asked.extend(zip([type(task[0]) for task in tasks], needs_gpu, strict=True))
        return run_tasks(function, tasks, n_jobs, give_up, needs_gpu)

    monkeypatch.setattr(parallel, "run_tasks", noted)
    monkeypatch.setattr(
        devices, "uses_gpu", lambda detector: isinstance(detector, FlickerDetector)
    )
    videos, y, groups = toy_videos
    small = {"image_size": 48, "n_frames": 6}
    members = {
        "flicker": FlickerDetector("frame", **small),
        "frequency": FrequencyDetector("frame", **small),
    }
    out_of_fold_scores(members, videos, y, groups, resampling=2, store=tmp_path)
    assert len(asked) == 4
    assert all(on_gpu == (kind is FlickerDetector) for kind, on_gpu in asked)
