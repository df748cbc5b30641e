"""Frozen networks on ONNX Runtime."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry switched off.

    What its makers publish writes an identifier of the device into the user's cache,
    and looks up a server of theirs, as soon as it is imported.

    Returns
    -------
    module
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxRuntime:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, model: Any, n_threads: Any) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        # Threads that wait do not spin: decoding and faces need the cores meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name

    def __call__(self, batch):
        return self.session.run(None, {self.input: batch})[0]
