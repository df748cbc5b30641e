import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "dlib", "cv2", "av", "lightgbm", "fastapi", "uvicorn")


# Run one after another: what one of them loads is still there after the next.
LIGHT = (
    "import base_models",
    "import ensemble",
    "from ensemble.combiners import Stacking, Voting",
    "from ensemble import read_scores, LeakError, UnscorableVideoError",
    "import ensemble.metrics, ensemble.calibration, ensemble.resampling",
    "import ensemble.scores",
    "from ensemble.datasets import make_forgeries, read_videos",
    "from ensemble import DeepfakeEnsemble, out_of_fold_scores",
    "from ensemble import compare_strategies",
)


def test_what_needs_no_network_loads_none():
    code = (
        f"import sys\nfor statement in {LIGHT}:\n    exec(statement)\n"
        f"    print(statement, [name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = [f"{statement} []" for statement in LIGHT]
    assert run.stdout.splitlines() == expected, run.stdout + run.stderr


def test_every_public_name_is_there():
    import base_models
    import ensemble

    for package in (base_models, ensemble):
        assert package.__all__
        for name in package.__all__:
            assert getattr(package, name) is not None


@pytest.mark.slow
def test_detectors_do_not_know_the_ensemble():
    code = (
        "import sys, pkgutil, importlib, base_models\n"
        "for module in pkgutil.walk_packages(base_models.__path__, 'base_models.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in sys.modules if name.startswith('ensemble')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
