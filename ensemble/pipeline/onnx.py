"""A linear rule as an ONNX file, for other programs and languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from base_models.runtime.file_writing import write_bytes
from ensemble._version import __version__
from ensemble.combiners.parts.detection import P_FAKE_SCALES
from ensemble.pipeline.linear import LinearForm, NotLinearError, linear_form
from ensemble.scores.looks import NEARLY

_OPSET, _IR = 17, 8  # of onnxruntime 1.13 and later
_TWO_NUMBERS = ("platt", "temperature", "beta")
_CLIP = 1e-12  # of the calibrator
_WEIGHTLESS = 1e-12


def export_rule(rule: Any, path: str | Path) -> None:
    """Write a fitted linear rule as an ONNX graph: see `ScorePipeline.to_onnx`.

    Parameters
    ----------
    rule : ScorePipeline
    path : str or Path

    Raises
    ------
    ValueError
        Naming the part that has no graph.
    ImportError
        If onnx is not installed.
    """
    form = _exportable(rule)
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx: pip install 'deepfake-ensemble[onnx]'"
        ) from error
    graph = _Graph(onnx)
    p_fake = _to_prior(graph, rule, _calibrated(graph, rule, _combined(graph, form)))
    graph.node("Where", ["nothing", graph.constant(np.nan), p_fake], "p_fake")
    n_columns = rule.n_features_in_
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "score_pipeline",
            [
                helper.make_tensor_value_info(
                    "scores", TensorProto.DOUBLE, ["n_videos", n_columns]
                )
            ],
            [helper.make_tensor_value_info("p_fake", TensorProto.DOUBLE, ["n_videos"])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="deepfake-ensemble",
        producer_version=__version__,
    )
    model.ir_version = _IR
    thresholds = rule.thresholds_
    helper.set_model_props(
        model,
        {
            "columns": json.dumps(rule.detector_names_),
            "fake_above": repr(thresholds.high),
            "real_below": repr(thresholds.low) if thresholds.three_way else "",
            "doubt": rule.doubt_,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString())


def _exportable(rule) -> LinearForm:
    """Return the weighted sum of a rule; say which part cannot be exported."""
    try:
        form = linear_form(rule.combiner_, rule.detector_names_)
    except NotLinearError as error:
        raise ValueError(
            f"the combiner cannot be written as ONNX: {error}; take 'log_odds', "
            "'soft', 'weighted', 'greedy', 'calibrated' or 'logistic', or use the "
            "rule's own file"
        ) from error
    ranked = [
        column.name
        for column in form.columns
        if column.scale["name"] == "rank"
        or (column.map is not None and column.map["name"] == "rank")
    ]
    if ranked:
        raise ValueError(
            f"the scale of {', '.join(ranked)} cannot be written as ONNX: ranks among "
            "the training scores; take scale='standard', or use the rule's own file"
        )
    if rule.calibrator_ is not None and rule.calibrator_.method not in _TWO_NUMBERS:
        raise ValueError(
            f"calibration={rule.calibrator_.method!r} cannot be written as ONNX, being "
            f"a staircase; take one of {', '.join(_TWO_NUMBERS)}, or use the rule's "
            "own file"
        )
    return form


class _Graph:
    """Nodes and constants, each under a name of its own."""

    def __init__(self, onnx: Any) -> None:
        self.onnx, self.nodes, self.constants = onnx, [], []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value)
        if array.dtype.kind == "f" or array.dtype.kind == "i":
            array = array.astype(np.float64)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def axes(self, *axes: int) -> str:
        name = f"c{len(self.constants)}"
        array = np.array(axes, np.int64)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str = "", **how: Any) -> str:
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **how))
        return output

    def of(self, kind: str, *inputs: Any) -> str:
        """Add a node; numbers become constants."""
        named = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        return self.node(kind, named)

    def expit(self, log_odds: str) -> str:
        return self.of(
            "Div", 1.0, self.of("Add", 1.0, self.of("Exp", self.of("Neg", log_odds)))
        )

    def clip(self, value: str, low: Any, high: Any) -> str:
        return self.of("Min", self.of("Max", value, low), high)

    def near(self, value: str, low: Any, high: Any, spread: Any) -> str:
        """Draw what is beyond the training range near to it; see `within_reach`."""
        end = self.clip(value, low, high)
        away = self.of("Sub", value, end)
        spread = np.asarray(spread, float)
        unit = np.where(spread > 0, spread, 1.0)
        share = self.of("Add", 1.0, self.of("Div", self.of("Abs", away), unit))
        drawn = self.of("Mul", self.of("Div", away, share), (spread > 0).astype(float))
        return self.of("Add", end, drawn)


def _combined(graph: _Graph, form: LinearForm) -> str:
    """Add the nodes from scores to the combined score, shape (n_videos,)."""
    columns = form.columns
    places = graph.axes(*(column.place for column in columns))
    x = graph.node("Gather", ["scores", places], axis=1)
    absent = graph.of("IsNaN", x)
    scale = columns[0].scale["name"]
    if scale in P_FAKE_SCALES:
        is_p_fake = np.array([column.map is None for column in columns])
        low = np.where(is_p_fake, -NEARLY, -np.inf)
        high = np.where(is_p_fake, 1 + NEARLY, np.inf)
        outside = graph.of("Or", graph.of("Less", x, low), graph.of("Greater", x, high))
        absent = graph.of("Or", absent, outside)
        x = graph.clip(x, np.where(is_p_fake, 0.0, -np.inf),
                       np.where(is_p_fake, 1.0, np.inf))  # fmt: skip
    x = graph.of("Where", absent, 0.5, x)
    if any(column.map is not None for column in columns):
        mapped = np.array([column.map is not None for column in columns])
        mean = [0.0 if c.map is None else c.map["mean"] for c in columns]
        spread = [1.0 if c.map is None else c.map["spread"] for c in columns]
        z = graph.of("Div", graph.of("Sub", x, np.array(mean)), np.array(spread))
        x = graph.of("Where", mapped, graph.expit(z), x)
    if scale == "log_odds":
        clip = columns[0].scale["clip"]
        p = graph.clip(x, clip, 1 - clip)
        x = graph.of("Log", graph.of("Div", p, graph.of("Sub", 1.0, p)))
    elif scale == "standard":
        mean = np.array([float(column.scale["mean"]) for column in columns])
        spread = np.array([float(column.scale["spread"]) for column in columns])
        x = graph.of("Div", graph.of("Sub", x, mean), spread)
    if columns[0].reach is not None:
        low, high, spread = np.array([column.reach for column in columns]).T
        x = graph.near(x, low, high, spread)
    if form.neutral:
        x = graph.of("Sub", x, form.neutral)
    return _weighed(graph, form, x, absent)


def _weighed(graph: _Graph, form: LinearForm, x: str, absent: str) -> str:
    weights = np.array([column.weight for column in form.columns])
    present = graph.of("Where", absent, 0.0, 1.0)
    filled = graph.of("Where", absent, 0.0, x)
    last = graph.axes(1)
    n_present = graph.node("ReduceSum", [present, last], keepdims=0)
    plain = graph.node("ReduceSum", [filled, last], keepdims=0)
    graph.node("Equal", [n_present, graph.constant(0.0)], "nothing")
    plain = graph.of("Div", plain, graph.of("Max", n_present, 1.0))
    total = graph.of("MatMul", present, weights)
    weightless = graph.of("LessOrEqual", total, _WEIGHTLESS * weights.sum())
    safe = graph.of("Where", weightless, 1.0, total)
    mean = graph.of("Div", graph.of("MatMul", filled, weights), safe)
    mean = graph.of("Where", weightless, plain, mean)
    combined = graph.of("Add", graph.of("Mul", mean, form.total), form.intercept)
    combined = graph.expit(combined) if form.logistic else combined
    return graph.clip(combined, 0.0, 1.0)


def _calibrated(graph: _Graph, rule: Any, score: str) -> str:
    calibrator = rule.calibrator_
    if calibrator is None:
        return score
    method, numbers, reach = (
        calibrator.method,
        calibrator.parameters_,
        calibrator.reach_,
    )
    p = graph.clip(score, _CLIP, 1 - _CLIP)
    rest = graph.of("Sub", 1.0, p)
    if method == "beta":
        features = [graph.of("Log", p), graph.of("Neg", graph.of("Log", rest))]
    else:
        features = [graph.of("Log", graph.of("Div", p, rest))]
    features = [
        graph.near(one, *(float(reach[key][k]) for key in ("low", "high", "spread")))
        for k, one in enumerate(features)
    ]
    if method == "platt":
        slopes, intercept = [numbers["slope"]], numbers["intercept"]
    elif method == "temperature":
        slopes, intercept = [1 / numbers["temperature"]], 0.0
    else:
        slopes, intercept = [numbers["a"], numbers["b"]], numbers["c"]
    log_odds = graph.constant(intercept)
    for slope, one in zip(slopes, features, strict=True):
        log_odds = graph.of("Add", log_odds, graph.of("Mul", one, slope))
    return graph.expit(log_odds)


def _to_prior(graph: _Graph, rule: Any, p_fake: str) -> str:
    if rule.prior is None:
        return p_fake
    fitted, prior = rule.fitted_prior_, rule.prior
    fake = graph.of("Mul", p_fake, prior / fitted)
    real = graph.of("Mul", graph.of("Sub", 1.0, p_fake), (1 - prior) / (1 - fitted))
    return graph.of("Div", fake, graph.of("Add", fake, real))
