"""Every code block of every page is run, or its commands are read by the real parser.

A block that nobody prepared for fails, so that none is passed over in silence.
"""

import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
import typer
from dask import distributed
from sklearn.model_selection import GroupKFold, cross_validate

import base_models
import ensemble
from base_models import (
    CallableDetector,
    FeaturePathDetector,
    FlickerDetector,
    FrameDetector,
    PseudoFakes,
    load_checkpoint,
    write_video,
)
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import app, main
from ensemble.scores import companions, read_scores

ROOT = Path(__file__).resolve().parents[1]
IGNORED = {".git", ".venv", "shared", ".pytest_cache", "build"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not IGNORED & set(path.relative_to(ROOT).parts)
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = partial(
    FrameDetector, "test_resnet", "frame", weights=None, image_size=32, n_frames=2
)
TINY = partial(HEAD, train="head")

# Programs that are not ours: why their lines are not run.
NOT_RUN = {
    "make": "it installs and runs these very tests",
    "pip": "it installs the library that runs here",
    "curl": "needs a server that runs; test_server runs these lines",
}
# Commands that are read by the parser and not run, by their beginning.
ONLY_READ = {
    "demo": "trains for minutes; the slow tests run it",
    "doctor": "has no --quiet; see test_cli_doctor",
    "fit videos.csv": "trains the six full-size networks",
    "compare videos.csv": "trains the six full-size networks",
    "compare scores.csv --scores 'p_*' --label": "run by the test of that block",
    "export": "needs onnx and onnxruntime; tested in test_onnx_members",
    "scan clip.mp4 --model all_c23.p": "needs a checkpoint; see test_cli_checkpoints",
    "scan clip.mp4 --model deepfakebench": "needs what get fetched; see the same",
    "scan clip.mp4 --model model.dfe --threshold three-way": "wants 17 real groups",
    "scan clip.mp4 --model starter/starter.dfe": "needs a starter; see test_starter",
    "assemble": "needs checkpoints; see test_cli_checkpoints",
    "batch model.dfe videos.parquet": "wants a cluster; see test_cli_clusters",
    "lean": "wants a processor with bfloat16 or 8 bits; see test_lean_engines",
    "models": "has no --quiet; see test_cli_checkpoints",
    "get": "fetches from the internet; see test_published_models",
    "convert": "needs a published checkpoint; tested in test_cli",
    "verify": "needs a converted checkpoint; tested in test_cli",
    "stress": "takes long; tested in test_stress",
    "prepare FaceForensics++/": "needs faces; see the tests of prepare",
    "fit FaceForensics++/": "trains the six full-size networks",
    "predict model.dfe clip.mp4 --threshold": "needs 20 real videos",
    "predict model.dfe s3://": "needs a bucket; see test_videos_by_address",
    "serve": "runs until it is stopped; tested in test_serve_command",
    "watch": "needs a webcam and a screen; tested in test_watch",
}


def blocks(*languages):
    """(page, number, code) of the blocks in some languages."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for number, (language, code) in enumerate(BLOCK.findall(text)):
            if language in languages:
                found.append(pytest.param(page, code, id=f"{page} {number}"))
    return found


def test_no_language_is_forgotten():
    languages = {
        language
        for page in PAGES
        for language, _ in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    }
    assert languages == {"python", "sh", "yaml", "text", ""}
    drawing, tree = blocks("")  # in CONTRIBUTING.md, no code
    assert drawing.values[1].startswith("video -> frames")
    assert tree.values[1].startswith("base_models/")
    for block in blocks("text"):  # tables in files: as many cells in each row
        cells = {line.count(",") for line in block.values[1].splitlines()}
        assert len(cells) == 1, block.id


@pytest.fixture(scope="module")
def world(tmp_path_factory, toy_videos):
    """A folder with what the pages talk of."""
    folder = tmp_path_factory.mktemp("pages")
    videos, y, groups = toy_videos
    lines = ["path,label,group"]
    for row in range(8):
        write_video(folder / f"{row}.mp4", videos[row], fps=10)
        lines.append(f"{row}.mp4,{y[row]},g{groups[row]}")
    (folder / "videos.csv").write_text("\n".join(lines))
    originals, fakes = (
        folder / "FaceForensics++" / name / "c23" / "videos"
        for name in ("original_sequences/youtube", "manipulated_sequences/Deepfakes")
    )
    for number, (one, other) in enumerate([("071", "054"), ("087", "081")]):
        for row, place in enumerate(
            (originals / one, fakes / f"{one}_{other}", originals / other,
             fakes / f"{other}_{one}")
        ):  # fmt: skip
            place.parent.mkdir(parents=True, exist_ok=True)
            write_video(f"{place}.mp4", videos[4 * number + row], fps=10)
    (folder / "FaceForensics++" / "splits").mkdir()
    pairs = {"train": '[["071", "054"], ["087", "081"]]', "val": "[]", "test": "[]"}
    for name, text in pairs.items():
        (folder / "FaceForensics++" / "splits" / f"{name}.json").write_text(text)
    for name in ("folder", "full_c23"):
        (folder / name).mkdir()
    for name in ("clip.mp4", "folder/a.mp4"):
        (folder / name).write_bytes((folder / "0.mp4").read_bytes())
    rng = np.random.default_rng(0)
    lines = ["video,p_a,p_b,label,group,method"]
    for row in range(48):
        fake = row % 2
        a, b = 1 / (1 + np.exp(rng.normal(1 - 2 * fake, 1.5, 2)))
        label, method = ("REAL", "") if not fake else ("FAKE", "ab"[row // 2 % 2])
        lines.append(f"{row},{a:.4f},{b:.4f},{label},{row // 4},{method}")
    (folder / "scores.csv").write_text("\n".join(lines))
    (folder / "new.csv").write_text("\n".join(lines))
    table = read_scores(folder / "scores.csv", scores="p_*")
    rule = ensemble.ScorePipeline("log_odds", n_boot=0)
    rule.fit(table, companions(table).label).save(folder / "rule.dfe")
    model = DeepfakeEnsemble([("head", TINY())], resampling=2)
    model.fit(videos[:12], y[:12], groups=groups[:12]).save(folder / "model.dfe")
    return folder


def _bright(videos):
    return [np.mean(video) / 255 for video in videos]


@pytest.fixture
def names(world, toy_videos, monkeypatch):
    """Names that the blocks use without making them, and tiny things behind them."""
    monkeypatch.chdir(world)
    videos, y, groups = toy_videos
    default = [("head", TINY())]
    monkeypatch.setattr(
        DeepfakeEnsemble,
        "_named_detectors",
        lambda self, original=DeepfakeEnsemble._named_detectors: (
            default if self.detectors is None else original(self)
        ),
    )

    # Its workers as threads: processes take long to start; see test_backends.
    monkeypatch.setattr(
        distributed, "Client", partial(distributed.Client, processes=False)
    )

    def published(path):
        assert path == "full_c23.p"
        return load_checkpoint

    monkeypatch.setattr(base_models, "load_checkpoint", published)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    return {
        "videos": videos,
        "labels": ["FAKE" if fake else "REAL" for fake in y],
        "source_ids": groups,
        "new_videos": videos[:2],
        "real_videos": [v for v, fake in zip(videos, y, strict=True) if not fake],
        "people": np.arange(12) // 2,
        "my_module": module,
        "my_transform": lambda images: images,
        "my_function": lambda videos: [0.5] * len(videos),
        "new_scores": pd.DataFrame({"p_a": [0.9, 0.1], "p_b": [0.2, 0.3]}),
        # Networks that learn from reals alone take long: see the slow test.
        "FrameDetector": lambda backbone, **given: CallableDetector(_bright),
        "FlickerDetector": lambda **given: CallableDetector(_bright),
        "FrequencyDetector": lambda **given: CallableDetector(_bright),
        "FeaturePathDetector": lambda: CallableDetector(_bright),
        "PseudoFakes": PseudoFakes,
        "DeepfakeEnsemble": partial(DeepfakeEnsemble, resampling=2),
        "model": DeepfakeEnsemble([("head", TINY())], resampling=2),
        "sklearn": sklearn,
        "cross_validate": cross_validate,
        "GroupKFold": partial(GroupKFold, 2),
    }


# Those of CONTRIBUTING.md are files, which tests of their own add.
RUN = [p for p in blocks("python") if p.values[0] != "CONTRIBUTING.md"]


@pytest.mark.slow_after(9)
@pytest.mark.filterwarnings("ignore:a false-alarm rate of")
@pytest.mark.parametrize(("page", "code"), RUN)
def test_a_block_of_python_runs(page, code, names):
    with sklearn.config_context():
        exec(compile(code, page, "exec"), names)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a false-alarm rate of")
def test_detectors_learn_from_reals_alone_as_the_page_says(names):
    (code,) = [p.values[1] for p in blocks("python") if "real_videos" in p.values[1]]
    names |= {
        "FrameDetector": lambda backbone, **given: HEAD(
            epochs=1, augment=False, **given
        ),
        "FeaturePathDetector": partial(
            FeaturePathDetector, "test_resnet", "frame", None, 32, 2, 4
        ),
        "FlickerDetector": partial(FlickerDetector, view="frame", n_frames=2),
    }
    exec(code, names)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_scores_without_groups_are_combined_as_the_page_says(names, world):
    (code,) = [p.values[1] for p in blocks("python") if "Stacking()" in p.values[1]]
    text = (world / "scores.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()]
    bare = "\n".join(",".join([*row[:4], row[5]]) for row in rows)
    (world / "bare.csv").write_text(bare)
    exec(code.replace("scores.csv", "bare.csv"), names)
    assert names["beside"].group.isna().all()


@pytest.fixture(scope="module")
def colour_detector():
    (code,) = [p.values[1] for p in RUN if "class ColourDetector(" in p.values[1]]
    names = {"__name__": "colour_detector"}
    exec(code, names)
    return names["ColourDetector"]


@pytest.mark.slow
@pytest.mark.parametrize("with_state", [True, False], ids=["", "without state"])
def test_the_members_of_the_page_work_in_an_ensemble(
    colour_detector, with_state, toy_videos, tmp_path
):
    videos, y, groups = toy_videos
    if not with_state:
        kept = {
            name: value
            for name, value in vars(colour_detector).items()
            if name not in ("get_state", "set_state", "__dict__", "__weakref__")
        }
        colour_detector = type(colour_detector)("Bare", colour_detector.__bases__, kept)
    model = DeepfakeEnsemble([("colours", colour_detector())], resampling=2)
    model.fit(videos, y, groups=groups)
    score = model.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean() + 0.1
    if with_state:
        model.save(tmp_path / "model.dfe")
        again = ensemble.load(
            tmp_path / "model.dfe", detectors={"colours": colour_detector()}
        )
        np.testing.assert_array_equal(again.fake_score(videos), score)


def commands():
    """Every line of every block for the shell, with what it continues on, once."""
    found, seen = [], set()
    for block in blocks("sh"):
        page, code = block.values
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and tuple(words) not in seen:
                seen.add(tuple(words))
                found.append(pytest.param(words, id=f"{page}: {' '.join(words)}"[:70]))
    return found


@pytest.mark.parametrize("words", commands())
def test_a_command_is_one_that_there_is(words, world, monkeypatch):
    monkeypatch.chdir(world)
    program, *arguments = words
    if program in NOT_RUN:
        return
    assert program == "deepfake-ensemble"
    group = typer.main.get_command(app)
    command = group.commands[arguments[0]]
    context = command.make_context(arguments[0], list(arguments[1:]))
    assert context.params
    assert not context.args


def _is_only_read(arguments):
    return any(shlex.join(arguments).startswith(begin) for begin in ONLY_READ)


def _to_run(fast):
    return [
        command
        for command in commands()
        if command.values[0][0] not in NOT_RUN
        and not _is_only_read(command.values[0][1:])
        and (command.values[0][1] == "predict") is fast
    ]


@pytest.mark.parametrize(
    "words",
    [
        *_to_run(fast=True),
        *(
            pytest.param(*command.values, id=command.id, marks=pytest.mark.slow)
            for command in _to_run(fast=False)
        ),
    ],
)
def test_a_command_does_what_the_page_says(words, world, monkeypatch):
    monkeypatch.chdir(world)
    extra = ["--draws", "10"] if words[1] == "compare" else []
    with pytest.raises(SystemExit) as left:
        main([*words[1:], *extra, "-q"])
    assert left.value.code == 0
