"""A pipe or a device in the place of a file is refused at once, at every door."""

import os
import signal
import socket

import numpy as np
import pytest

import ensemble
from base_models.backbones import weights_digest
from base_models.batch.input_table import open_table
from base_models.checkpoints import read_state_dict
from base_models.faces.dlib_finder import dlib_file
from base_models.faces.finders import YuNetFaceFinder
from base_models.limits import NO_FILE, is_special
from base_models.networks.checkpoints import read_card
from base_models.runtime.file_writing import read_record
from base_models.video.paths import is_image
from ensemble.cli.app import main
from ensemble.cli.commands.running.serve import read_token
from ensemble.cli.inputs import is_saved_model
from ensemble.datasets import load_dataset
from ensemble.persistence.signature import secret
from ensemble.persistence.wrong_files import is_checkpoint
from ensemble.scores.formats import read_table

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs mkfifo")
GREY = np.full((64, 64, 3), 128, np.uint8)
DOORS = {
    ".dfe": [ensemble.load, is_saved_model],
    ".p": [
        read_state_dict,
        is_checkpoint,
        lambda path: weights_digest("xception", path),
    ],
    ".h5": [read_state_dict, is_saved_model],
    ".safetensors": [read_state_dict],
    ".csv": [read_table, open_table, lambda path: load_dataset("auto", path)],
    ".xlsx": [read_table],
    ".parquet": [read_table, open_table],
    ".json": [lambda path: load_dataset("auto", path), read_record],
    ".key": [secret, read_token],
    ".dat": [lambda path: dlib_file(path, "name", "model")],
    ".onnx": [lambda path: YuNetFaceFinder(path).find(GREY)],
}


@pytest.fixture(autouse=True)
def no_waiting():
    """End a test that waits for a pipe."""

    def end(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["pipe", "link to a pipe", "endless device", "socket"])
def special(request, tmp_path):
    """Return what makes a path with a given ending that is no file."""

    def make(ending):
        path = tmp_path / f"given{ending}"
        if request.param == "endless device":
            path.symlink_to("/dev/zero")
        elif request.param == "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
        else:
            is_link = request.param.startswith("link")
            pipe = tmp_path / f"pipe{ending}" if is_link else path
            os.mkfifo(pipe)
            if is_link:
                path.symlink_to(pipe)
        assert is_special(path)
        return path

    return make


@pytest.mark.parametrize("ending", DOORS)
def test_every_door_refuses_what_is_no_file(special, ending):
    path = special(ending)
    for door in DOORS[ending]:
        with pytest.raises((ValueError, OSError), match=f"given{ending}: {NO_FILE}"):
            door(path)


def test_a_pipe_is_no_card_and_no_picture(tmp_path):
    for name in ("card.json", "frame.png"):
        os.mkfifo(tmp_path / name)
    assert not is_image(tmp_path / "frame.png")
    with pytest.raises(ValueError, match=NO_FILE):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "command",
    ["verify PIPE", "convert PIPE OUT", "combine PIPE --scores p_* --out OUT"],
)
def test_commands_say_so_in_one_line(tmp_path, capsys, command):
    os.mkfifo(tmp_path / "weights.csv")
    places = {"PIPE": str(tmp_path / "weights.csv"), "OUT": str(tmp_path / "out.dfe")}
    with pytest.raises(SystemExit) as left:
        main([places.get(word, word) for word in command.split()])
    assert left.value.code == 2
    assert f"weights.csv: {NO_FILE}; save" in capsys.readouterr().err
