"""Measure what runs frozen networks fastest: torch, ONNX Runtime, OpenVINO, few bits.

    python examples/benchmarks/engines.py --json results.json

Networks of the default detectors and small ones, with random weights (speed does not
depend on them), on noise. All take turns in one run, and medians are compared. Beside
the speed: how far logits are from torch's, and what a first use costs: the first 80
images, which are 5 videos, of a network of a kind that no run has seen (its graph is
traced), of one whose graph is in the store, and of torch. "8 bits" is what
`export --int8` writes, "int8" the engine.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch
from goals import Goal, machine, write
from torch import nn

from base_models.backbones import backbone_recipe, build_network
from base_models.compute import fixed_threads
from base_models.export.onnx import FakeProbability
from base_models.export.quantize import quantize
from base_models.inference import engines, kept_graphs
from base_models.inference.int8 import find_ranges
from base_models.inference.onnx_graph import Prepared, traced_graph

NETWORKS = {  # name: (pixels, of the default detectors?)
    "xception": (299, True),
    "efficientnet": (380, True),
    "resnet": (224, True),
    "resnet18": (224, False),
    "efficientnet_b0": (224, False),
    "efficientnet_lite0": (128, False),
    "mesonet4": (128, False),
}
BATCH, FIRST = 8, 80


def installed_engines():
    """All engines that can run here."""
    names = []
    for name in engines.ENGINES:
        try:
            engines.check_engine(name)
        except ImportError as error:
            print(f"left out: {error}")
        else:
            names.append(name)
    return names


def network_of(name, seed=0):
    torch.manual_seed(seed)
    network = build_network(name, None, image_size=NETWORKS[name][0]).eval()
    nn.init.normal_(network.head.weight, std=0.1)
    return network


def plain_torch(network, recipe, images):
    """torch as most scripts run it: channels first."""
    with torch.inference_mode():
        return network(recipe.normalise(torch.tensor(images)).contiguous()).numpy()


def int8_session(network, recipe, images, n_threads):
    import onnxruntime

    whole = Prepared(FakeProbability(network), recipe.normalise).eval()
    model = quantize(traced_graph(whole, torch.tensor(images[:2]), "images"), images)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def runners(name, engines_here, images, n_threads, store):
    """What takes turns: label -> function of no arguments."""
    recipe = backbone_recipe(name, NETWORKS[name][0])
    # `run_frozen` turns its own channels last
    first, network = network_of(name), network_of(name)
    int8 = int8_session(network_of(name), recipe, images, n_threads)
    found = {
        "torch": lambda: plain_torch(first, recipe, images),
        "8 bits": lambda: int8.run(None, {"images": images})[0],
    }
    ranges = find_ranges(network, recipe, images, n_threads, store)
    for engine in engines_here:
        label = "torch channels_last" if engine == "torch" else engine
        found[label] = lambda engine=engine: engines.run_frozen(
            network, recipe, images, engine, n_threads, "cpu", store, ranges
        )
    return found


def in_turn(found, rounds):
    """Median seconds of each, and what it last gave."""
    answers = {label: run() for label, run in found.items()}  # compiles
    taken = {label: [] for label in found}
    for _ in range(rounds):
        for label, run in found.items():
            began = time.perf_counter()
            run()
            taken[label].append(time.perf_counter() - began)
    return {label: statistics.median(times) for label, times in taken.items()}, answers


def first_use(name, n_threads, rounds):
    """Median seconds for the first images by torch, untraced, and traced before."""
    size = NETWORKS[name][0]
    recipe = backbone_recipe(name, size)
    video = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), np.uint8)
    taken = {"torch": [], "never traced": [], "traced before": []}
    for seed in range(rounds):
        with tempfile.TemporaryDirectory() as store:
            for case in taken:
                network = network_of(name, seed)
                network.head.bias.data += len(case)  # weights that none had before
                kept_graphs._graphs.clear()
                engine = "torch" if case == "torch" else "auto"
                began = time.perf_counter()
                for _ in range(FIRST // len(video)):
                    engines.run_frozen(
                        network, recipe, video, engine, n_threads, "cpu", store
                    )
                taken[case].append(time.perf_counter() - began)
    return {case: statistics.median(times) for case, times in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    options = parser.parse_args()
    print(machine())
    raw, goals, engines_here = {}, [], installed_engines()
    for n_threads in options.threads:
        for name in options.networks:
            size, default = NETWORKS[name]
            draw = np.random.default_rng(0)
            images = draw.integers(0, 256, (BATCH, size, size, 3), np.uint8)
            with fixed_threads(n_threads), tempfile.TemporaryDirectory() as store:
                found = runners(name, engines_here, images, n_threads, store)
                seconds, answers = in_turn(found, options.rounds)
                first = first_use(name, n_threads, 1 if default else 3)
            # how far these drift depends on weights that learned
            for label in ("8 bits", "int8", "bfloat16"):
                answers.pop(label, None)
            expected = answers["torch"]
            apart = max(np.abs(a - expected).max() for a in answers.values())
            apart /= np.abs(expected).max()
            what = f"{name}, {size} px, {n_threads} threads"
            raw[what] = {
                "ms per image": {k: 1e3 * t / BATCH for k, t in seconds.items()},
                f"seconds for the first {FIRST}": first,
                "largest difference of logits, of the largest logit": float(apart),
            }
            line = ", ".join(f"{k} {1e3 * t / BATCH:.1f}" for k, t in seconds.items())
            print(f"{what}: {line} ms per image; first {FIRST}: {first}", flush=True)
            not_equal = ("8 bits", "int8", "bfloat16", "auto")
            ours, fastest = (
                seconds["auto"],
                min(t for e, t in seconds.items() if e not in not_equal),
            )
            goals += [
                Goal.at_least(
                    f"{what}: auto, times as fast as torch channels_last",
                    seconds["torch channels_last"] / ours,
                    1.2,
                ),
                Goal.at_most(f"{what}: auto, of the fastest", ours / fastest, 1.2),
                Goal.at_most(
                    f"{what}: logits apart from torch, of the largest", apart, 1e-4
                ),
                Goal.at_most(
                    f"{what}: first {FIRST} images, of torch's time",
                    first["traced before"] / first["torch"],
                    1.0,
                ),
            ]
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
