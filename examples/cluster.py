"""The demo's fit on a cluster: real worker processes, and where each task ran.

    python examples/cluster.py [--identities 24] [--cluster local:2]

Without an address Dask starts two workers, each a process of its own, as ``dask
worker`` would be on another machine. The fit runs there, then again here, and the
scores are compared bit for bit. Takes some minutes on two CPU cores.

On Kubernetes, KubeRay runs Ray: apply a RayCluster whose image has this library and
whose pods mount the videos and the store under the same paths as yours, forward the
port of its head (``kubectl port-forward service/NAME-head-svc 10001``) and give
``--cluster ray://localhost:10001``. Under Slurm, PBS or SGE, dask-jobqueue submits
Dask's workers as jobs: ``cluster = SLURMCluster(cores=8, memory="32GB")``, then
``cluster.scale(jobs=20)``, and ``--cluster`` is ``cluster.scheduler_address``; the
shared file system of such a machine gives all nodes the same paths already.
"""

import argparse
import contextlib
import os
import re
import tempfile
from collections import Counter

import numpy as np

from base_models import cluster
from ensemble import DeepfakeEnsemble
from ensemble.cli.demo import demo_detectors
from ensemble.datasets import make_forgeries


def main(n_identities, address):
    with tempfile.TemporaryDirectory() as folder:
        clips = make_forgeries(
            f"{folder}/clips", n_identities=n_identities, random_state=0
        )
        videos, y, groups = clips[:3]

        def fitted(store):
            model = DeepfakeEnsemble(
                demo_detectors(), resampling=2, store=f"{folder}/{store}"
            )
            return model.fit(videos, y, groups=groups)

        with cluster(address) as connected:
            print("cluster:", connected)
            with shown(connected.address):
                there = fitted("there")
        here = fitted("here")
        same = np.array_equal(there.oof_scores_, here.oof_scores_, equal_nan=True)
        print("Out-of-fold scores are those of a fit here, bit for bit:", same)
        print("(These are home-made swaps; it says nothing about the wild.)")


@contextlib.contextmanager
def shown(address):
    """Print at the end of a block how many tasks each worker did, as Dask knows."""
    if not address.startswith("tcp://"):
        yield  # Ray shows tasks on its dashboard alone
        return
    from distributed import Client, get_task_stream

    with Client(address, set_as_default=False) as client:
        with get_task_stream(client) as stream:
            yield
        pids = client.run(os.getpid)
    print(f"this process is {os.getpid()}")
    for line in lines_of(stream.data, pids):
        print(line)


def lines_of(tasks, pids):
    """Return a line for each worker and kind of task, or one that says of none."""
    ran: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        # "fit_and_score-8a3f..."; "unpacked-..." only hands out what tasks share
        named = re.fullmatch(r"(\w+)-[0-9a-f]{32}", str(task["key"]))
        if named and named[1] != "unpacked":
            ran[task["worker"], named[1]] += 1
    return [
        f"worker {worker} (process {pids.get(worker, 'gone')}): {name} {count} times"
        for (worker, name), count in sorted(ran.items())
    ] or [f"none of {len(tasks)} tasks on Dask's workers is called like one of ours"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--cluster", default="local:2", help="its address")
    arguments = parser.parse_args()
    main(arguments.identities, arguments.cluster)
