"""scikit-learn's own tests of voting, stacking and bagging, run on our combiners.

The test modules are read from the installed scikit-learn, with `VotingClassifier`,
`StackingClassifier` and `BaggingClassifier` rebound to our adapters. `PASS` lists the
tests that pass, `DIFFER` those that do not and why; either list is wrong as soon as a
test leaves it. Tests that this release of scikit-learn does not have are ignored, those
listed nowhere may do as they like.
"""

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from sklearn.base import RegressorMixin
from sklearn_adapters import (
    BaggingClassifier,
    Refused,
    StackingClassifier,
    VotingClassifier,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
PASS = {
    "test_voting": [
        "voting_classifier_estimator_init",
        "predictproba_hardvoting",
        "notfitted",
        "majority_label_iris",
        "tie_situation",
        "weights_iris",
        "predict_on_toy_problem",
        "predict_proba_on_toy_problem",
        "multilabel",
        "gridsearch",
        "parallel_fit",
        "sample_weight",
        "voting_classifier_set_params",
        "estimator_weights_format",
        "none_estimator_with_weights",
        "n_features_in",
        "get_metadata_routing_without_fit",
    ],
    "test_stacking": [
        "stacking_classifier_error",
        "stacking_classifier_stratify_default",
        "stacking_with_sample_weight",
        "stacking_cv_influence",
        "stacking_prefit",
        "stacking_prefit_error",
        "get_metadata_routing_without_fit",
    ],
    "test_bagging": [
        "oob_score_classification",
        "error",
        "gridsearch",
        "estimator",
        "set_oob_score_label_encoding",
        "bagging_allow_nan_tag",
        "bagging_with_metadata_routing",
        "bagging_without_support_metadata_routing",
    ],
}
# (reason, exception or None for any, tests). A test that ends in Refused has passed all
# that it checks before.
DIFFER = {
    "test_voting": [
        (
            "no transform: it would hand out in-sample scores of training rows",
            Refused,
            ["set_estimator_drop", "transform", "get_features_names_out_classifier"],
        ),
        (
            "no transform, so no names of what it returns",
            AttributeError,
            ["get_features_names_out_classifier_error"],
        ),
        (
            "estimators must be able to score; this one only has fit",
            AttributeError,
            ["sample_weight_kwargs"],
        ),
        (
            "the adapter prints nothing",
            AssertionError,
            ["voting_verbose"],
        ),
        (
            "a combiner takes groups and sample_weight, and no other metadata",
            None,
            [
                "routing_passed_metadata_not_supported",
                "metadata_routing_for_voting_estimators",
                "metadata_routing_error_for_voting_estimators",
            ],
        ),
    ],
    "test_stacking": [
        (
            "no transform: it would hand out in-sample scores of training rows; no "
            "passthrough: a score table holds scores and no features of the videos",
            Refused,
            [
                "stacking_classifier_iris",
                "stacking_classifier_drop_column_binary_classification",
                "stacking_classifier_drop_estimator",
                "stacking_classifier_sparse_passthrough",
                "stacking_classifier_drop_binary_prob",
                "stacking_randomness",
            ],
        ),
        (
            "no transform, so no names of what it returns",
            AttributeError,
            ["get_feature_names_out"],
        ),
        (
            "no stack_method: estimators give P(class), or what stands for it",
            None,
            ["stacking_classifier_error[y1-params1-"],
        ),
        (
            "a meta-model that takes no weights gets rows repeated for whole numbers",
            None,
            ["stacking_classifier_error[y3-params3-"],
        ),
        (
            "weights that are all 1 are not passed on",
            AssertionError,
            ["stacking_classifier_sample_weight_fit_param"],
        ),
        (
            "one label per video",
            NotImplementedError,
            [
                "stacking_classifier_multilabel_predict_proba",
                "stacking_classifier_multilabel_decision_function",
                "stacking_classifier_multilabel_auto_predict",
            ],
        ),
        (
            "a regressor among three classes has no score of each",
            AttributeError,
            ["stacking_classifier_base_regressor"],
        ),
        (
            "no decision_function: a combiner gives P(fake)",
            AssertionError,
            ["stacking_final_estimator_attribute_error"],
        ),
        (
            "the adapter names its attributes in its own words",
            AssertionError,
            ["stacking_without_n_features_in"],
        ),
        (
            "a combiner takes groups and sample_weight, and no other metadata",
            None,
            [
                "routing_passed_metadata_not_supported",
                "metadata_routing_for_stacking_estimators",
                "metadata_routing_error_for_stacking_estimators",
            ],
        ),
    ],
    "test_bagging": [
        (
            "replicas hold as many groups as there are, drawn with replacement and "
            "all at once, and every column",
            Refused,
            [
                "classification",
                "sparse_classification",
                "probability",
                "bagging_with_pipeline",
                "warm_start",
                "warm_start_smaller_n_estimators",
                "warm_start_equal_n_estimators",
                "warm_start_equivalence",
                "warm_start_with_oob_score_fails",
                "draw_indices_using_sample_weight",
                "oob_score_removed_on_warm_start",
                "oob_score_consistency",
                "estimators_samples",
                "estimators_samples_deterministic",
                "max_samples_consistency",
                "bagging_small_max_features",
            ],
        ),
        (
            "weights are passed to the estimators; rows are drawn alike",
            None,
            [
                "warning_bootstrap_sample_weight",
                "invalid_sample_weight_max_samples_bootstrap_combinations",
            ],
        ),
        (
            "no decision_function: a combiner gives P(fake)",
            AttributeError,
            ["parallel_classification"],
        ),
        (
            "each replica has every class, so the only row of one is never out of bag",
            ValueError,
            [
                "bagging_classifier_with_missing_inputs",
                "metadata_routing_with_dynamic_method_selection",
            ],
        ),
        (
            "the adapter has no tags of its estimator",
            AssertionError,
            ["bagging_allow_nan_tag[bagging0-"],
        ),
    ],
}


def read_suite(name, adapter):
    """Read one of scikit-learn's test modules and return its tests of our adapter."""
    spec = find_spec(f"sklearn.ensemble.tests.{name}")
    if spec is None:
        pytest.skip("scikit-learn is here without its tests", allow_module_level=True)
    tree = Rebind(adapter.__name__).visit(
        ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    )
    module = ModuleType(f"suite_{name}")
    module.__file__ = spec.origin
    module.OurAdapter = adapter
    exec(compile(ast.fix_missing_locations(tree), spec.origin, "exec"), vars(module))
    return {
        f"{name}__{test.removeprefix('test_')}": function
        for test, function in vars(module).items()
        if test.startswith("test_") and adapter.__name__ in inspect.getsource(function)
    }


class Rebind(ast.NodeTransformer):
    """Put our class in place of the imported one; drop marks that pytest lacks."""

    marks = ("parametrize", "filterwarnings", "skip", "skipif", "usefixtures", "xfail")

    def __init__(self, name):
        self.name = name

    def visit_ImportFrom(self, node):
        if any(alias.name == self.name for alias in node.names):
            return [node, ast.parse(f"{self.name} = OurAdapter").body[0]]
        return node

    def visit_FunctionDef(self, node):
        node.decorator_list = [
            decorator
            for decorator in node.decorator_list
            if not ast.unparse(decorator).startswith("pytest.mark.")
            or ast.unparse(decorator).split(".")[2].split("(")[0] in self.marks
        ]
        return node


def is_listed(name, listed):
    """Whether a test is listed, with the beginning of its parameters or for any."""
    return name.startswith(listed) if "[" in listed else name.split("[")[0] == listed


SUITES = {
    "test_voting": VotingClassifier,
    "test_stacking": StackingClassifier,
    "test_bagging": BaggingClassifier,
}


for suite, adapter in SUITES.items():
    globals().update(read_suite(suite, adapter))


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture(autouse=True)
def _as_listed(request):
    suite, _, name = request.node.name.partition("__")
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    for value in given.values():
        kind = value if isinstance(value, type) else type(value)
        if issubclass(kind, RegressorMixin):
            pytest.skip("about a regressor, which is scikit-learn's own here")
    for reason, error, names in DIFFER[suite]:
        if any(is_listed(name, listed) for listed in names):
            mark = pytest.mark.xfail(reason=reason, raises=error, strict=True)
            return request.applymarker(mark)
    if not any(is_listed(name, listed) for listed in PASS[suite]):
        reason = "not listed: this is another release of scikit-learn"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=False))
