"""``--timeout`` and ``--isolation``: what reading a video may take, at a terminal."""

import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from base_models.limits import current_limits
from ensemble.cli.app import main


def _run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "fake").mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
    write_video(tmp_path / "real/a.mp4", frames)
    write_video(tmp_path / "fake/b.mp4", frames[::-1])
    return tmp_path


def test_a_video_that_takes_too_long_is_named_and_the_run_goes_on(folder, capsys):
    out = folder / "index.csv"
    assert _run("index", folder, "--out", out, "--no-faces", "--timeout", 1e-9) == 0
    said = capsys.readouterr().out
    for name in ("fake/b.mp4", "real/a.mp4"):
        assert f"  {name}, it has " in said
    assert said.count("reading them takes longer than the 1e-09 s allowed") == 2


def test_the_table_is_the_same_with_isolation(folder, capsys):
    tables = []
    for isolation in ("process", "none"):
        out = folder / f"{isolation}.csv"
        given = ("--no-faces", "--isolation", isolation)
        assert _run("index", folder, "--out", out, *given) == 0
        tables.append(pd.read_csv(out))
    pd.testing.assert_frame_equal(*tables)
    assert current_limits().isolation is None


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_no_time_at_all_is_refused(folder, capsys, seconds):
    code = _run("index", folder, "--out", folder / "i.csv", "--timeout", seconds)
    assert code == 2
    assert "--timeout must be above 0 seconds" in capsys.readouterr().err
