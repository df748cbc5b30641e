"""Figures of a running server, as Prometheus reads them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ensemble.serving.files import ServerFiles
from ensemble.serving.jobs import JobStore
from ensemble.serving.scanner import Scanner

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Figures:
    """Counts what is there when it is asked.

    Parameters
    ----------
    jobs : JobStore
    files : ServerFiles
    scanner : Scanner
    answers : Counter
        Of requests, by status.
    """

    def __init__(
        self, jobs: JobStore, files: ServerFiles, scanner: Scanner, answers: Counter
    ) -> None:
        self._jobs, self._files, self._scanner = jobs, files, scanner
        self._answers = answers
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text form."""
        return generate_latest(self._registry)

    def describe(self) -> list:
        """Return nothing: the figures are not asked for when this is registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the figures."""
        scanner = self._scanner
        scans = GaugeMetricFamily(
            "deepfake_scans", "Scans that are kept, by status.", labels=["status"]
        )
        for status, n_scans in self._jobs.counts().items():
            scans.add_metric([status], n_scans)
        yield scans
        tasks = CounterMetricFamily(
            "deepfake_tasks",
            "Tasks that ended since the server began, by kind and outcome.",
            labels=["task", "outcome"],
        )
        for (task, outcome), n_tasks in sorted(scanner.counted.items()):
            tasks.add_metric([task, outcome], n_tasks)
        yield tasks
        seconds = CounterMetricFamily(
            "deepfake_task_seconds", "Seconds that tasks took.", labels=["task"]
        )
        for task, taken in sorted(scanner.seconds.items()):
            seconds.add_metric([task], taken)
        yield seconds
        answers = CounterMetricFamily(
            "deepfake_answers",
            "Answers to requests by status: 401 without the token, 429 too many, 503 "
            "queue full, 507 disk full.",
            labels=["status"],
        )
        for status, n_answers in sorted(dict(self._answers).items()):
            answers.add_metric([str(status)], n_answers)
        yield answers
        yield GaugeMetricFamily(
            "deepfake_worker_memory_bytes",
            "Memory of the process that scans and of those that read for it.",
            value=scanner.memory,
        )
        yield CounterMetricFamily(
            "deepfake_workers_replaced",
            "Processes that scan that took the place of one that ended.",
            value=scanner.n_replaced,
        )
        yield GaugeMetricFamily(
            "deepfake_disk_bytes", "Files that are kept.", value=self._jobs.n_bytes()
        )
        yield GaugeMetricFamily(
            "deepfake_disk_limit_bytes",
            "Files that may be kept.",
            value=self._files.most_bytes,
        )
