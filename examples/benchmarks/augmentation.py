"""Measure augmentation: what each switch costs, and OpenCV against other libraries.

    python examples/benchmarks/augmentation.py --json results.json

One thread, RGB uint8 images of 224 px. Libraries that are not installed are left out.
"""

import argparse
import statistics
import time

import cv2
import numpy as np
import torch
from goals import Goal, machine, write

from base_models import Augmentation

_SWITCHES = ("flip", "affine", "light", "gray", "blur", "noise", "rescale", "jpeg")
_SWITCHES += ("h264", "cutout")


def make_image(size=224):
    """A smooth picture with grain, as a face crop is."""
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (8, 8, 3), np.uint8)
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(large + draw.normal(0, 5, large.shape), 0, 255).astype(np.uint8)


def milliseconds(change, image, times=60, repeats=5):
    """Median over repeats of the mean time of one call."""
    seconds = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        for number in range(times):
            change(image, np.random.default_rng([repeat, number]))
        seconds.append((time.perf_counter() - start) / times)
    return 1000 * statistics.median(seconds[1:])  # the first warms up


def ordinary(library):
    """The same changes by each library, with parameters drawn by us, or None."""
    if library == "opencv":
        return Augmentation.none(
            flip=0.5, affine=1.0, light=1.0, blur=1.0, jpeg=1.0, jpeg_quality=(40, 100)
        )
    if library == "torchvision":
        from torchvision.transforms.v2 import functional as tv

        def change(image, draw):
            tensor = torch.from_numpy(image).permute(2, 0, 1)
            if draw.random() < 0.5:
                tensor = tv.horizontal_flip(tensor)
            tensor = tv.affine(
                tensor,
                angle=draw.uniform(-8, 8),
                translate=draw.uniform(-13, 13, 2).tolist(),
                scale=draw.uniform(0.9, 1.1),
                shear=[0.0],
                interpolation=tv.InterpolationMode.BILINEAR,
            )
            tensor = tv.adjust_brightness(tensor, draw.uniform(0.9, 1.1))
            tensor = tv.adjust_contrast(tensor, draw.uniform(0.8, 1.2))
            tensor = tv.adjust_saturation(tensor, draw.uniform(0.75, 1.25))
            tensor = tv.adjust_hue(tensor, draw.uniform(-0.02, 0.02))
            tensor = tv.gaussian_blur(tensor, 5, draw.uniform(0.3, 1.5))
            tensor = tv.jpeg(tensor, int(draw.integers(40, 101)))
            return tensor.permute(1, 2, 0).numpy()

        return change
    if library == "kornia":
        import kornia.augmentation as ka

        steps = ka.ImageSequential(
            ka.RandomHorizontalFlip(p=0.5),
            ka.RandomAffine(8, (0.06, 0.06), (0.9, 1.1), p=1.0),
            ka.ColorJitter(0.1, 0.2, 0.25, 0.02, p=1.0),
            ka.RandomGaussianBlur((5, 5), (0.3, 1.5), p=1.0),
            ka.RandomJPEG((40.0, 100.0), p=1.0),
        )

        def change(image, draw):  # its randomness is torch's own
            tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
            return (255 * steps(tensor))[0].permute(1, 2, 0).to(torch.uint8).numpy()

        return change
    import albumentations

    steps = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(rotate=(-8, 8), scale=(0.9, 1.1), p=1.0),
            albumentations.ColorJitter(0.1, 0.2, 0.25, 0.02, p=1.0),
            albumentations.GaussianBlur(p=1.0),
            albumentations.ImageCompression(quality_range=(40, 100), p=1.0),
        ]
    )
    return lambda image, draw: steps(image=image)["image"]  # so is this one's


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    image, raw = make_image(), {"switches": {}}
    print(machine())
    print("each switch alone, ms per image of 224 px")
    for switch in _SWITCHES:
        cost = milliseconds(Augmentation.none(**{switch: 1.0}), image)
        raw["switches"][switch] = cost
        print(f"  {switch:10} {cost:7.3f}")
    raw["default"] = milliseconds(Augmentation(), image, times=200)
    print(f"the default augmentation, on average: {raw['default']:.3f}")
    raw["libraries"] = {}
    print("flip, affine, light, blur and JPEG together")
    for library in ("opencv", "torchvision", "kornia", "albumentations"):
        try:
            change = ordinary(library)
        except ImportError:
            print(f"  {library:14} not installed")
            continue
        raw["libraries"][library] = milliseconds(change, image)
        print(f"  {library:14} {raw['libraries'][library]:7.3f}")
    others = [cost for name, cost in raw["libraries"].items() if name != "opencv"]
    goals = [
        Goal.at_most(
            "default augmentation, ms per image of 224 px", raw["default"], 4.0
        ),
        Goal.at_least(
            "the quickest other library's time over OpenCV's",
            min(others) / raw["libraries"]["opencv"],
            1.0,
        ),
    ]
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
