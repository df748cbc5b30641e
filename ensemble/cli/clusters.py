"""Runs the work of a command on the cluster of its option ``--cluster``."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Compute on a cluster within this block, and say on standard error where.

    Parameters
    ----------
    address : str or None
        As of `base_models.cluster`; None computes here.
    """
    if address is None:
        yield
        return
    from base_models.runtime.clusters.connecting import cluster

    with cluster(address) as connected:
        typer.echo(f"cluster: {connected}", err=True)
        yield
