"""Reads a file that `save_ensemble` wrote."""

from collections.abc import Iterable

from sklearn.base import clone

from base_models.errors import ArtifactError
from base_models.scoring.pooling import check_pooling
from ensemble.cascade.certificate import cascade_from
from ensemble.cascade.costs import check_cascade
from ensemble.cascade.frame_steps import check_frame_steps
from ensemble.metrics.bootstrap_intervals import Interval
from ensemble.out_of_fold.record import FitRecord
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.persistence.codec import Reader
from ensemble.persistence.parts import reading_part
from ensemble.persistence.save import CASCADES, FITTED, FRAME_STEPS, IN_RECORD
from ensemble.scores.table import score_table
from ensemble.verdicts.card import CardFacts

_NOT_FROM_FILES = ("detectors", "store", "device")  # nor paths: see `without_files`


def read_ensemble(
    reader: Reader, parameters: Iterable[str], detectors: dict | None = None
) -> tuple[dict, dict]:
    """Read what `save_ensemble` wrote.

    Parameters
    ----------
    reader : Reader
        Of the file.
    parameters : iterable of str
        Those that an ensemble of this release takes.
    detectors : dict of str to detector or None, default=None
        As for `ensemble.load`.

    Returns
    -------
    params : dict
        The ensemble's parameters.
    fitted : dict
        Its fitted attributes, by name.

    Raises
    ------
    ArtifactError
        As `ensemble.load` does.
    """
    with reading_part(reader.path, "what it says of the ensemble"):
        params, fitted = _read(reader, parameters, detectors or {})
    reader.check_files()
    return params | {"device": reader.device}, fitted


def _read(reader, parameters, detectors):
    path, device, manifest = reader.path, reader.device, reader.manifest
    members = {
        entry["name"]: _members(reader, entry, detectors, device)
        for entry in manifest["detectors"]
    }
    params = {name: reader.decode(value) for name, value in manifest["params"].items()}
    for name in _NOT_FROM_FILES:
        params.pop(name, None)
    unknown = params.keys() - set(parameters)
    if unknown:
        raise ArtifactError(
            f"{path} names {', '.join(sorted(unknown))}, which this release does not "
            "have"
        )
    if not manifest["default_detectors"]:
        params["detectors"] = [
            (name, clone(found[0] if isinstance(found, list) else found))
            for name, found in members.items()
        ]
    fitted = {
        name: reader.decode(manifest["fitted"][name])
        for name in FITTED
        if name in manifest["fitted"]
    }
    if fitted["false_alarms_"] is not None:
        fitted["false_alarms_"] = Interval(*fitted["false_alarms_"])
    chosen = reader.decode(manifest["chosen_combiner"])
    training = manifest["training"]
    with reading_part(path, "its cascade"):
        check_cascade(params.get("cascade"), params.get("member_costs"))
        cascades = {
            at: cascade_from(reader.decode(manifest["fitted"].get(name)), list(members))
            for name, at in CASCADES.items()
        }
        steps = reader.decode(manifest["fitted"].get(FRAME_STEPS)) or {}
        check_frame_steps(steps, list(members), len(reader.decode(training["ids"])))
    with reading_part(path, "what its card says"):
        facts = CardFacts.from_dict(manifest.get("card"))
    fitted["fit_record_"] = FitRecord(
        TrainingSet(None, **{name: reader.decode(v) for name, v in training.items()}),
        [tuple(split) for split in reader.decode(manifest["splits"])],
        facts,
        clone(fitted["combiner_"]) if chosen is None else chosen,
        frame_steps=steps,
        **cascades,
        **reader.file,
        **{at: fitted.pop(name, None) for name, at in IN_RECORD.items()},
    )
    fitted["detectors_"] = members
    fitted["oof_scores_"] = _table(reader)
    _check_members(path, members, fitted["oof_scores_"])
    return params, fitted


def _check_members(path, members, table):
    """Refuse members that could score no video, or not those that were combined."""
    if list(members) != list(table):
        raise ArtifactError(
            f"{path} has the members {', '.join(map(repr, members))}, and scores of "
            f"{', '.join(map(repr, table))}: it is damaged or forged"
        )
    for name, found in members.items():
        for member in found if isinstance(found, list) else [found]:
            with reading_part(path, f"how its member {name!r} looks at videos"):
                if hasattr(member, "view_recipes"):
                    member.view_recipes()
                _check_settings(member)


def _check_settings(member):
    from base_models.inference.engines import ENGINES
    from base_models.runtime.devices import resolve_threads

    pooling, engine = getattr(member, "pooling", None), getattr(member, "engine", None)
    if pooling is not None and not callable(pooling):
        check_pooling(pooling)
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    resolve_threads(getattr(member, "n_threads", None))


def _members(reader, entry, given, device):
    """Return the fitted detector of a name, or the list of those that are averaged."""
    name = entry["name"]
    members = [
        reader.detector(part, name, given.get(name)) for part in entry["members"]
    ]
    for member in members:
        if hasattr(member, "get_params") and "device" in member.get_params():
            member.set_params(device=device)
    return members if entry["averaged"] else members[0]


def _table(reader):
    """Return the out-of-fold score table."""
    table = reader.manifest["table"]
    rows = table["index"]
    attrs = {name: _unpaired(value) for name, value in table["attrs"].items()}
    companions = {
        name: [attrs[name].get(row) for row in rows]
        for name in ("label", "group", "fold")
        if name in attrs
    }
    return score_table(
        reader.decode(table["scores"]),
        rows,
        table["columns"],
        reasons=attrs["reason"],
        provenance=attrs["provenance"],
        **companions,
    )


def left_out_of(manifest: dict) -> list[str]:
    """Say what the fit of a saved model went on without, a line for each.

    Parameters
    ----------
    manifest : dict
        Of a file that `save_ensemble` wrote, or of any other.

    Returns
    -------
    list of str
    """
    attrs = (manifest.get("table") or {}).get("attrs") or {}
    known = _unpaired(attrs.get("provenance")) or {}
    failed, skipped = (
        known.get(name) or {} for name in ("failed_detectors", "skipped_videos")
    )
    return [
        f"{name} {what}: {why}"
        for what, reasons in (
            ("failed and is not in it", failed),
            ("was left out of training", skipped),
            ("has no score in training", _unseen(manifest)),
        )
        for name, why in reasons.items()
    ]


def _unseen(manifest):
    """Return the training videos that no detector could look at, and why."""
    table = manifest.get("table") or {}
    by_detector = _unpaired((table.get("attrs") or {}).get("reason")) or {}
    reasons = [by_detector.get(name) or {} for name in table.get("columns") or []]
    return {
        video: "; ".join(dict.fromkeys(why[video] for why in reasons))
        for video in (reasons[0] if reasons else {})
        if all(video in why for why in reasons)
    }


def _unpaired(value):
    if not isinstance(value, dict):
        return value
    return {key: _unpaired(entry) for key, entry in value["dict"]}
