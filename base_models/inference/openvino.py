"""Frozen networks on OpenVINO."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np


class OpenVino:
    """A model that OpenVINO compiled for the CPU."""

    used = forked = False  # by this process; by the one that this is a fork of

    def __init__(self, model: Any, n_threads: Any) -> None:
        import openvino

        if type(self).forked:  # it would wait for ever
            raise RuntimeError(
                "it does not survive a fork; start processes by spawn, as joblib does"
            )
        type(self).used = True
        core = openvino.Core()
        self.model = core.compile_model(
            core.read_model(io.BytesIO(model)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",  # else half where a CPU has it
                "INFERENCE_NUM_THREADS": n_threads,
                "PERFORMANCE_HINT": "LATENCY",  # all threads at one batch
                # Jobs side by side would all be bound to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.own = threading.local()  # a request serves one thread at a time

    def __call__(self, batch):
        if not hasattr(self.own, "request"):
            self.own.request = self.model.create_infer_request()
        outputs = self.own.request.infer([batch])
        return np.array(outputs[0])  # the request's own memory is written again
