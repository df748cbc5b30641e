"""What keys know of classes and libraries."""

import importlib
import pkgutil

import pytest
import torch
from keyed_detectors import NETWORK, QUICK

import base_models
import ensemble
from base_models import (
    Augmentation,
    CallableDetector,
    CompressionRouter,
    DlibFaceFinder,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    GeometryDetector,
    LSTMDetector,
    PseudoFakes,
    TorchDetector,
    TrainingRecipe,
)
from base_models.store import store_key, versions

DETECTORS = [
    NETWORK,
    FrameDetector("test_resnet", train="head", weights=None, **QUICK),
    TorchDetector(torch.nn.Flatten(), **QUICK),
    LSTMDetector("test_resnet", weights=None, **QUICK),
    FrequencyDetector("frame"),
    FlickerDetector("frame"),
    GeometryDetector(),
    CompressionRouter({"c23": NETWORK, "c40": NETWORK}),
]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
def test_a_raised_code_version_is_another_key(detector, monkeypatch):
    before = store_key(identity=detector.identity())
    for cls in type(detector).__mro__:
        if "code_version" in vars(cls):
            with monkeypatch.context() as patch:
                patch.setattr(cls, "code_version", cls.code_version + 1)
                assert store_key(identity=detector.identity()) != before
    assert store_key(identity=detector.identity()) == before


@pytest.mark.parametrize("cls", [PseudoFakes, Augmentation])
def test_what_true_and_auto_stand_for_counts_by_its_version(cls, monkeypatch):
    before = [store_key(identity=d.identity()) for d in (NETWORK, DETECTORS[4])]
    monkeypatch.setattr(cls, "code_version", cls.code_version + 1)
    after = [store_key(identity=d.identity()) for d in (NETWORK, DETECTORS[4])]
    assert all(one != other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
def test_a_class_that_moves_to_another_module_keeps_its_key(detector, monkeypatch):
    before = store_key(identity=detector.identity())
    for cls in (*type(detector).__mro__, DlibFaceFinder, TrainingRecipe):
        if versions.is_own(cls):
            monkeypatch.setattr(cls, "__module__", "base_models.elsewhere")
    assert store_key(identity=detector.identity()) == before


@pytest.mark.parametrize(
    ("library", "detector"),
    [
        ("torch", NETWORK),
        ("timm", NETWORK),
        ("timm", DETECTORS[3]),
        ("sklearn", DETECTORS[1]),
        ("sklearn", DETECTORS[4]),
        ("lightgbm", DETECTORS[6]),
        ("dlib", DETECTORS[6]),
        ("av", NETWORK),
        ("cv2", NETWORK),
    ],
)
def test_another_minor_version_of_a_library_is_another_key(
    library, detector, monkeypatch
):
    before = store_key(identity=detector.identity())

    def with_version(version):
        versions.library_version.cache_clear()
        module = importlib.import_module(library)
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", version)
            key = store_key(identity=detector.identity())
        versions.library_version.cache_clear()
        return key

    assert store_key(identity=detector.identity()) == before
    assert with_version("77.3.1+cpu") == with_version("77.3.9") != before


def test_a_network_that_is_fitted_without_scikit_learn_does_not_know_its_version(
    monkeypatch,
):
    before = store_key(identity=NETWORK.identity())
    versions.library_version.cache_clear()
    monkeypatch.setattr("sklearn.__version__", "77.0.0")
    assert store_key(identity=NETWORK.identity()) == before
    versions.library_version.cache_clear()


def own_classes():
    for package in (base_models, ensemble):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            found = vars(importlib.import_module(module.name)).values()
            yield from (
                cls
                for cls in found
                if isinstance(cls, type) and cls.__module__ == module.name
            )


def test_no_two_classes_that_are_in_keys_have_one_name():
    names = {}
    for cls in own_classes():
        if hasattr(cls, "get_params") or hasattr(cls, "__dataclass_fields__"):
            names.setdefault(cls.__qualname__, set()).add(cls.__module__)
    assert len(names) > 40
    assert {name: where for name, where in names.items() if len(where) > 1} == {}


def test_every_detector_and_setting_of_ours_has_a_code_version_of_its_own():
    found = [
        cls
        for cls in own_classes()
        if hasattr(cls, "get_params") and cls.__module__.startswith("base_models.")
    ]
    assert {FrameDetector, CallableDetector, Augmentation, DlibFaceFinder} <= set(found)
    abstract = {"TrainedDetector", "VideoDetector", "ViewDetector"}
    lacking = {c.__name__ for c in found if "code_version" not in vars(c)}
    assert lacking == abstract


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        ("Augmentation", ["Augmentation", "cv2"]),
        ("CallableDetector", ["CallableDetector"]),
        ("CompressionRouter", ["CompressionRouter", "av"]),
        ("DlibFaceFinder", ["DlibFaceFinder", "_ScaledFinder", "dlib"]),
        (
            "FlickerDetector",
            [
                "FlickerDetector",
                "StatisticsDetector",
                "FeatureDetector",
                "cv2",
                "numpy",
                "scipy",
                "sklearn",
            ],
        ),
        ("FrameDetector", ["FrameDetector", "NetworkDetector", "timm", "torch"]),
        (
            "FrequencyDetector",
            [
                "FrequencyDetector",
                "StatisticsDetector",
                "FeatureDetector",
                "cv2",
                "numpy",
                "scipy",
                "sklearn",
            ],
        ),
        (
            "GeometryDetector",
            ["GeometryDetector", "FeatureDetector", "cv2", "dlib", "lightgbm"],
        ),
        ("HaarFaceFinder", ["HaarFaceFinder", "_ScaledFinder", "cv2"]),
        ("LSTMDetector", ["LSTMDetector", "FeatureDetector"]),
        ("PrefitDetector", ["PrefitDetector", "NetworkDetector", "timm", "torch"]),
        ("PseudoFakes", ["PseudoFakes", "cv2"]),
        ("TorchDetector", ["TorchDetector", "NetworkDetector", "timm", "torch"]),
        ("TrainingRecipe", ["TrainingRecipe"]),
        ("YuNetFaceFinder", ["YuNetFaceFinder", "_ScaledFinder", "cv2"]),
    ],
)
def test_no_class_in_keys_gets_another_name(cls, names):
    """What older releases left in a store is found by these very names."""
    assert [
        name for name, _ in versions.own_versions(getattr(base_models, cls))
    ] == names
