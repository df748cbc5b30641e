import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "dlib", "cv2", "av", "lightgbm")


@pytest.mark.parametrize(
    "statement",
    [
        "import ensemble",
        "from ensemble.combiners import Stacking, Voting",
        "from ensemble import read_scores, LeakError, UnscorableVideoError",
        "import ensemble.metrics, ensemble.calibration, ensemble.resampling",
        "from ensemble.datasets import make_forgeries, read_videos",
        "from ensemble import DeepfakeEnsemble, out_of_fold_scores",
        "from ensemble import compare_strategies",
        "import base_models",
    ],
)
def test_what_needs_no_network_loads_none(statement):
    code = (
        f"import sys\n{statement}\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_every_public_name_is_there():
    import base_models
    import ensemble

    for package in (base_models, ensemble):
        assert package.__all__
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_detectors_do_not_know_the_ensemble():
    code = (
        "import sys, pkgutil, importlib, base_models\n"
        "for module in pkgutil.walk_packages(base_models.__path__, 'base_models.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in sys.modules if name.startswith('ensemble')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
