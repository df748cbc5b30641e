"""A save that is killed between its two files leaves no mixture that is used."""

import contextlib
import json
import os

import pytest
import torch
from torch import nn

from base_models import CheckpointError, PrefitDetector, load_checkpoint
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card


@pytest.mark.parametrize("n_replaced", [0, 1, 2])
@pytest.mark.parametrize("is_old_card", [False, True])
def test_weights_and_card_of_two_saves_are_refused(
    tmp_path, monkeypatch, n_replaced, is_old_card
):
    network = build_network("mesonet4", image_size=32)
    nn.init.normal_(network.head.weight)
    card = make_card("mesonet4", "frame", 32, source="mine.pth")
    PrefitDetector(card).with_network(network).save(tmp_path)
    if is_old_card:  # of a release that did not say whose card it is
        card = json.loads((tmp_path / "card.json").read_text())
        del card["weights_file_sha256"], card["card_sha256"]
        (tmp_path / "card.json").write_text(json.dumps(card))
    before, detector = load_checkpoint(tmp_path), load_checkpoint(tmp_path)
    with torch.no_grad():
        detector.module_.head.weight[1] += 0.5
    replace, done = os.replace, []

    def until_it_is_killed(*paths):
        if len(done) == n_replaced:
            raise KeyboardInterrupt
        done.append(replace(*paths))

    monkeypatch.setattr(os, "replace", until_it_is_killed)
    with contextlib.suppress(KeyboardInterrupt):
        detector.save(tmp_path)
    monkeypatch.undo()
    if n_replaced == 1:
        with pytest.raises(CheckpointError, match=r"card.json is not the card of the"):
            load_checkpoint(tmp_path)
        detector.save(tmp_path)
    expected = detector if n_replaced else before
    assert load_checkpoint(tmp_path).identity() == expected.identity()
    assert load_checkpoint(tmp_path).drift() < 1e-5


def test_a_card_of_before_that_turns_the_classes_is_refused(tmp_path):
    network = build_network("mesonet4", image_size=32)
    card = make_card("mesonet4", "frame", 32, source="mine.pth")
    PrefitDetector(card).with_network(network).save(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    del card["weights_file_sha256"], card["card_sha256"]
    (tmp_path / "card.json").write_text(json.dumps(card))
    load_checkpoint(tmp_path)
    card["classes"] = ["fake", "real"]
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="its classes must be"):
        load_checkpoint(tmp_path)
    del card["classes"]
    for odd in (5, "theirs", [1, 2], {"a": 1}, [["a"]]):
        (tmp_path / "card.json").write_text(json.dumps({**card, "trained_on": odd}))
        with pytest.raises(CheckpointError, match="its trained_on must be a list"):
            load_checkpoint(tmp_path)
