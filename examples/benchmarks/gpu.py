"""Measure a GPU: scoring beside its parts, fitting beside plain torch, equal bits.

    python examples/benchmarks/gpu.py --json results.json

Scoring: the detectors of `scoring.py` score videos from files, with an empty store.
Beside it: decoding and faces alone, and the networks alone on inputs that lie on the
GPU, a video at a time (as they are asked, so that a score depends on no other video)
and in batches of 256 (what the card would give). Fitting: seconds a step of
``train="full"`` on stored views, against a plain loop of torch on one batch that lies
on the GPU; with more threads that make batches, and with one. Memory is the most that
torch had taken on the card. Bits: everything is done twice with one seed, and scores
are compared with those of the CPU. Weights are random: they matter to no time.
``--device cpu`` and ``--small`` try it out where there is no GPU.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from goals import Goal, machine, write
from scoring import NETWORKS, fitted_detectors, ours, seconds
from sklearn.base import clone
from torch import nn

from base_models import FrameDetector, TrainingRecipe, list_videos
from base_models.backbones import backbone_recipe, build_network
from base_models.scoring import walk_videos
from base_models.training import image_batches
from ensemble.datasets import make_forgeries

FITTED = {  # name: backbone, how it learns, pixels, images of a batch
    "xception": ("xception", "full", None, 32),
    "efficientnet": ("efficientnet", "full", None, 16),
    "efficientnet_lite0": ("efficientnet_lite0", "full", 224, 32),
    "dinov2_small, norm": ("dinov2_small", "norm", None, 32),
}
SMALL = {
    "networks": {"tiny": {"test_resnet": 64}},
    "fitted": {"tiny": ("test_resnet", "full", 64, 16)},
}
STEPS, BATCH = 12, 256
PARTS = ("scoring", "fitting")


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


@contextlib.contextmanager
def most_memory(device, found):
    """Note in a list how many MiB torch had taken at most in a block."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield
    taken = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    found.append(taken / 2**20)


def half(device):
    """The precision that engine="auto" takes."""
    return torch.autocast(device, torch.float16, enabled=device == "cuda")


@torch.inference_mode()
def networks_alone(detectors, ready, device):
    """Seconds that networks take on images of a video that lie on the device."""
    took = 0
    for detector, images in zip(detectors, ready, strict=True):
        inputs = detector._preparation().normalise(images)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        network = detector.module_.to(device)
        with half(device):
            network(inputs)
            wait(device)
            began = time.perf_counter()
            network(inputs)
            wait(device)
        took += time.perf_counter() - began
    return took


def ready_images(detectors, videos, store, device):
    """The images of one video that each detector looks at, on the device."""
    views = next(iter(walk_videos(detectors, videos[:1], store)))
    images = [views[d.view_recipes()[0].key].images for d in detectors]
    return [torch.from_numpy(some).to(device) for some in images]


def measure_scoring(kind, networks, videos, options, folder):
    """Goals and raw figures of scoring videos from files."""
    detectors = fitted_detectors(networks, folder)
    for detector in detectors:
        detector.set_params(device=options.device)
    with tempfile.TemporaryDirectory(dir=folder) as store:
        ready = ready_images(detectors, videos, store, options.device)
    many = [one.repeat(-(-BATCH // len(one)), 1, 1, 1)[:BATCH] for one in ready]
    ours(detectors, videos[:2], folder)  # warms up
    found = {name: [] for name in ("ours", "views", "networks", "large batches")}
    memory = []
    for _ in range(options.rounds):
        with most_memory(options.device, memory):
            found["ours"].append(ours(detectors, videos, folder))
        with tempfile.TemporaryDirectory(dir=folder) as store:
            walk = seconds(list, walk_videos(detectors, videos, store))
        found["views"].append(walk / len(videos))
        found["networks"].append(networks_alone(detectors, ready, options.device))
        took = networks_alone(detectors, many, options.device)
        found["large batches"].append(took * len(ready[0]) / BATCH)
    median = {name: statistics.median(took) for name, took in found.items()}
    print(f"{kind}: " + ", ".join(f"{n} {1000 * s:.1f} ms" for n, s in median.items()))
    print(f"{kind}: {memory[-1]:.0f} MiB on the card", flush=True)
    longer = max(median["views"], median["networks"])
    goals = [
        Goal.at_most(
            f"{kind} networks: times decoding and faces, or the networks alone, "
            "whichever takes longer",
            median["ours"] / longer,
            1.15,
        ),
        *equal_scores(kind, detectors, videos, folder),
    ]
    return goals, found | {"MiB": memory}


def equal_scores(kind, detectors, videos, folder):
    """How far scores are from those of a second run, and from the CPU's."""
    found = []
    for device in (None, None, "cpu"):
        scores = []
        for detector in detectors:
            before = detector.device
            store = tempfile.mkdtemp(dir=folder)
            detector.set_params(device=device or before, store=store)
            scores.append(detector.fake_score(videos))
            detector.set_params(device=before)
        found.append(np.stack(scores))
    again, cpu = (np.nanmax(np.abs(found[0] - other)) for other in found[1:])
    return [
        Goal.at_most(f"{kind} networks: P(fake) apart from a second run", again, 0),
        Goal.at_most(f"{kind} networks: P(fake) apart from the CPU", cpu, 0.01),
    ]


def member(backbone, train, size, batch, store, device):
    return FrameDetector(
        backbone, "frame", train=train, weights=None, image_size=size, n_frames=8,
        epochs=4, frames_per_epoch=4, batch_size=batch, random_state=0, store=store,
        device=device, recipe=TrainingRecipe(head_epochs=0, validation=0),
    )  # fmt: skip


def seconds_a_step(detector, videos, y, groups):
    """Of the epochs after the first, which warms up; and the fitted detector."""
    detector.fit(videos, y, groups=groups)
    steps = -(-len(videos) * detector.frames_per_epoch // detector.batch_size)
    epochs = [epoch["seconds"] for epoch in detector.history_[1:]]
    return statistics.median(epochs) / steps


def plain_step(backbone, train, size, batch, device):
    """Seconds a step of a loop that anyone would write, on one batch that is ready."""
    recipe = backbone_recipe(backbone, size)
    network = build_network(backbone, None, image_size=size)
    network = network.to(device, memory_format=torch.channels_last).train()
    if train == "norm":
        for module in network.backbone.modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(isinstance(module, nn.LayerNorm))
    learns = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, 3e-4)
    side = recipe.image_size
    inputs = torch.randn(batch, 3, side, side, device=device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    label = torch.arange(batch, device=device) % 2

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = network(inputs)
        nn.functional.cross_entropy(logits.float(), label).backward()
        nn.utils.clip_grad_norm_(learns, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(3):
        step()
    wait(device)
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    wait(device)
    return (time.perf_counter() - began) / STEPS


@contextlib.contextmanager
def one_thread():
    """Let one thread make batches, as on a CPU."""
    made = image_batches.look_ahead

    def alone(make, things, n_workers=None, **more):
        return made(make, things, n_workers=min(1, n_workers or 1), **more)

    image_batches.look_ahead = alone
    try:
        yield
    finally:
        image_batches.look_ahead = made


def measure_fit(name, how, videos, options, folder):
    """Goals and raw figures of training on stored views."""
    device = options.device
    y = np.arange(len(videos)) % 2
    groups = np.arange(len(videos)) // 2
    memory, took, states = [], {}, []
    for way in ("ours", "ours again", "one thread"):
        fitted = member(*how, tempfile.mkdtemp(dir=folder), device)
        clone(fitted).set_params(epochs=1).fit(videos, y, groups=groups)  # makes views
        limit = one_thread() if way == "one thread" else contextlib.nullcontext()
        with most_memory(device, memory), limit:
            took[way] = seconds_a_step(fitted, videos, y, groups)
        states.append(fitted.get_state()[1])
    with most_memory(device, memory):
        took["plain"] = plain_step(*how, device)
    unequal = sum(
        not np.array_equal(value, other[part])
        for part, value in states[0].items()
        for other in states[1:]
    )
    print(f"{name}: " + ", ".join(f"{w} {1000 * s:.1f} ms" for w, s in took.items()))
    print(f"{name}: {memory[0]:.0f} MiB, plain {memory[-1]:.0f} MiB", flush=True)
    best = min(took["ours"], took["ours again"])
    goals = [
        Goal.at_most(f"{name}: times a plain step", best / took["plain"], 1.15),
        Goal.at_most(f"{name}: weights that differ when fitted anew", unequal, 0),
    ]
    return goals, took | {"MiB": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of videos; without, some are forged")
    parser.add_argument("--videos", type=int, default=24, help="how many at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny networks")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--only", nargs="+", help="networks, by the names above")
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "no GPU"
    print(f"{name}; {machine()}; torch {torch.__version__}", flush=True)
    goals, raw = [], {"device": name}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.clips:
            videos = [str(video) for video in list_videos(options.clips)]
        else:
            made = make_forgeries(
                folder / "clips", n_identities=options.videos // 2, verbose=0
            )
            videos = [str(video) for video in made.videos]
        videos = videos[: options.videos]
        parts = {
            "scoring": (measure_scoring, SMALL["networks"], NETWORKS),
            "fitting": (measure_fit, SMALL["fitted"], FITTED),
        }
        for part in options.parts:
            measure, small, full = parts[part]
            for what, how in (small if options.small else full).items():
                if options.only and what not in options.only:
                    continue
                met, figures = measure(what, how, videos, options, folder)
                goals += met
                raw[f"{part}, {what}"] = figures
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
