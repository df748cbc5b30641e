"""A real little package adds a detector, a combiner and a data set by entry points."""

import json
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

import ensemble
from base_models import detector_names, make_detector
from base_models.plugins import DETECTORS, PluginError, plugins
from ensemble import DeepfakeEnsemble, ScorePipeline
from ensemble.cli.app import main
from ensemble.combiners import Bagging, resolve_combiner
from ensemble.combiners.registry import combiner_names
from ensemble.datasets import load_dataset
from ensemble.datasets.kinds.registry import kind_names
from ensemble.errors import ArtifactError

MODULE = '''
import numpy as np

from base_models.detectors.bases.video import VideoDetector
from base_models.inputs import check_fit_arguments
from ensemble.combiners import Combiner
from ensemble.datasets.kinds.base import VideoRecord


class Brightness(VideoDetector):
    def __init__(self, scale=255.0):
        self.scale = scale

    def fit(self, videos, y, groups=None, sample_weight=None):
        videos, is_fake, _, self.classes_ = check_fit_arguments(videos, y, groups, None)
        shades = self._shades(videos)
        self.middle_ = (shades[is_fake == 0].mean() + shades[is_fake == 1].mean()) / 2
        return self

    def _shades(self, videos):
        return np.array([video.mean() / self.scale for video in videos])

    def _score(self, videos):
        score = 1 / (1 + np.exp(-9 * (self._shades(videos) - self.middle_)))
        return score, np.full(len(videos), "", dtype=object)

    def identity(self):
        return {"class": "Brightness", "scale": self.scale}

    def get_state(self, portable=True):
        return {"classes": self.classes_.tolist()}, {"middle": np.array(self.middle_)}

    def set_state(self, meta, arrays):
        self.classes_, self.middle_ = np.array(meta["classes"]), float(arrays["middle"])
        return self


class Second(Combiner):
    """The second-highest score."""

    def __init__(self, scale="detect", clip=1e-3, fake_label=None):
        self.scale, self.clip, self.fake_label = scale, clip, fake_label

    def _fit(self, rows):
        self.rank_ = 2

    def _fake_score(self, scores):
        filled = np.sort(np.where(np.isnan(scores), -1, scores), axis=1)
        return filled[:, -min(self.rank_, scores.shape[1])]


def fits(path):
    return (path / "list.json").is_file()


def read(path, encoding=None):
    import json

    rows = json.loads((path / "list.json").read_text(encoding))
    return [VideoRecord(str(path / name), label=label) for name, label in rows]
'''
ENTRIES = """
[deepfake_ensemble.detectors]
brightness = dfe_little:Brightness
flicker = dfe_little:Brightness
broken = dfe_not_there:Nothing

[deepfake_ensemble.combiners]
second = dfe_little:Second
number = dfe_little:MODULE_OF_NOTHING

[deepfake_ensemble.datasets]
json_list = dfe_little
broken_list = dfe_not_there
"""


def install(folder, module=MODULE, entries=ENTRIES, name="dfe_little"):
    """Write what pip leaves of a package: its module and its metadata."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(module)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2\n"
    (info / "METADATA").write_text(text)
    (info / "entry_points.txt").write_text(entries)
    return folder


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Install the package, and forget it afterwards."""
    folder = install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(folder))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*'flicker' of the package.* is left out")
        yield folder
    sys.modules.pop("dfe_little", None)


def test_a_detector_is_found_by_its_name_and_imported_when_it_is_made(site):
    assert "brightness" in detector_names()
    assert "dfe_little" not in sys.modules
    detector = make_detector("Brightness", scale=100.0)
    assert type(detector).__module__ == "dfe_little"
    assert detector.scale == 100
    with pytest.raises(ValueError, match=r"did you mean 'brightness'"):
        make_detector("brightnes")


def test_ours_win_with_a_warning_and_a_broken_one_is_named(site):
    with pytest.warns(
        UserWarning, match=r"'flicker' of the package dfe-little is left"
    ):
        assert type(make_detector("flicker")).__name__ == "FlickerDetector"
    with pytest.raises(PluginError, match=r"'broken' of the package dfe-little .*not_"):
        make_detector("broken")
    with pytest.raises(PluginError, match=r"'number' of the package dfe-little"):
        resolve_combiner("number")


def test_of_two_packages_with_one_name_the_first_has_it(site):
    more = "[deepfake_ensemble.detectors]\nbrightness = dfe_other:Else\n"
    install(site, "class Else: pass", more, "dfe_other")
    sys.path.append(f"{site}/")  # the folder as it is now
    with pytest.warns(
        UserWarning, match=r"dfe-other is left out: the package dfe-litt"
    ):
        found = plugins(DETECTORS)
    sys.path.pop()
    assert found["brightness"].package == "dfe-little"


def test_a_combiner_is_one_of_the_names_everywhere(site):
    assert "second" in combiner_names()
    assert "dfe_little" not in sys.modules
    table = pd.DataFrame([[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]], columns=list("abc"))
    combiner = resolve_combiner("second").fit(table, [1, 0])
    np.testing.assert_allclose(combiner.fake_score(table), [0.8, 0.2])
    many = np.random.default_rng(0).random((40, 3))
    inner = Bagging("second", n_replicas=2, random_state=0)
    inner.fit(many, many[:, 0] > 0.5, groups=range(40))
    assert type(inner.combiners_[0]).__name__ == "Second"


def test_a_data_set_is_read_by_name_and_found_after_ours(site, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(name.encode())
    (folder / "list.json").write_text(json.dumps([["a.mp4", 0], ["b.mp4", 1]]))
    assert kind_names()[-1] == "json_list"
    assert load_dataset("json_list", folder).labels == [0, 1]
    with pytest.warns(UserWarning, match=r"'broken_list' of the package dfe-little"):
        assert load_dataset("auto", folder).kind == "json_list"


def test_a_saved_model_takes_its_classes_from_what_is_installed(
    site, toy_videos, tmp_path
):
    videos, y, groups = toy_videos
    members = {"bright": make_detector("brightness")}
    model = DeepfakeEnsemble(members, combiner="second", resampling=2, verbose=False)
    model.fit(videos, y, groups=groups).save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe")
    expected = model.fake_score(videos)
    np.testing.assert_array_equal(again.fake_score(videos), expected)
    sys.path.remove(str(site))
    with pytest.raises(ArtifactError, match=r"install the package 'dfe-little'"):
        ensemble.load(tmp_path / "model.dfe")
    given = {"detectors": members, "combiners": {"Second": resolve_combiner("soft")}}
    with pytest.raises(ArtifactError, match=r"was a Second; got a Voting"):
        ensemble.load(tmp_path / "model.dfe", **given)


def test_a_file_names_a_declaration_and_never_a_module(site, tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).random((40, 2)), columns=list("ab"))
    y = (table["a"] > 0.5).astype(int)
    path = tmp_path / "rule.dfe"
    ScorePipeline("second", n_boot=5).fit(table, y).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = parts["manifest.json"].decode()
    assert "dfe_little" not in text
    for forged in ('"name": "number"', '"name": "../evil"', '"name": ["second"]'):
        with zipfile.ZipFile(path, "w") as archive:
            changed = text.replace('"name": "second"', forged)
            assert changed != text
            for name, content in (parts | {"manifest.json": changed}).items():
                archive.writestr(name, content)
        with pytest.raises((ArtifactError, PluginError)):
            ensemble.load(path)


@pytest.mark.slow
def test_the_command_line_offers_what_is_declared(site, capsys, monkeypatch):
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from ensemble.cli.app import main\n"
        "try: main(['explore', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('dfe_little', 'torch') if m in sys.modules])"
    )
    monkeypatch.setenv("PYTHONPATH", ":".join([str(site), *sys.path]))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "json_list" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    text = capsys.readouterr().out
    assert "dfe-little 1.2" in text
