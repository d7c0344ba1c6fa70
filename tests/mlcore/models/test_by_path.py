"""Models that are not ours obey the same laws as ours, as far as their task goes."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from mlcore import checks
from mlcore.checks.models import Case
from mlcore.errors import BarwiseError
from mlcore.models import make_model
from mlcore.models.by_path import import_class, model_by_path
from mlcore.store.state import StoreError, check_storable
from mlcore.tasks import Task
from mlcore.windows import Windows

TASKS = {task.kind: task for task in checks.TASKS}
HERE = "tests.mlcore.models.test_by_path"


class Mean(nn.Module):
    """A network as a stranger writes it: batch first, one vector a window, with a layer that mixes the batch."""

    def __init__(self, n_features, hidden=8):
        super().__init__()
        self.inner = nn.Linear(2 * n_features, hidden)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, x):
        return self.norm(torch.tanh(self.inner(torch.cat([x[:, -1], x.mean(dim=1)], dim=-1))))


class Wrong(nn.Module):
    """Gives one row for all windows."""

    def __init__(self, n_features):
        super().__init__()

    def forward(self, x):
        return x.sum(dim=(0, 1))[None]


PATHS = {
    "sklearn.ensemble.ExtraTreesClassifier": ("classes", {"n_estimators": 30, "min_samples_leaf": 5}),
    "sklearn.linear_model.LogisticRegression": ("classes", {}),
    "sklearn.ensemble.RandomForestRegressor": ("regression", {"n_estimators": 20, "min_samples_leaf": 5}),
    "sklearn.ensemble.GradientBoostingRegressor": ("quantiles", {"n_estimators": 20}),
    "sklearn.linear_model.QuantileRegressor": ("quantiles", {"alpha": 0.01}),
    f"{HERE}.Mean": ("classes", {"hidden": 6, "epochs": 4}),
    "torch.nn.GRU": ("regression", {"hidden_size": 6}),
}
UNTOLD = {  # laws about constructors of our own classes
    "model_keeps_sklearns_grammar": "its estimator or network is an argument without a plain default",
    "model_survives_the_store": "it cannot be stored without running code",
    "model_fit_returns_itself_and_keeps_its_parameters": "copies of an estimator are not equal; see the test below",
}
LAWS = [check for check in checks.MODEL_CHECKS if check.__name__ not in UNTOLD]


def kinds(path):
    return sorted(TASKS) if "sklearn" not in path else [PATHS[path][0]]


@functools.cache
def case_of(path, kind):
    return Case(make_model(path, lookback=3, **PATHS[path][1]), TASKS[kind])


@pytest.mark.parametrize(
    "check", [c for c in checks.MODEL_CHECKS if c.__name__ not in UNTOLD], ids=lambda c: c.__name__
)
@pytest.mark.parametrize(("path", "kind"), [(path, kind) for path in PATHS for kind in kinds(path)])
def test_it_obeys_the_laws_of_models(path, kind, check):
    check(case_of(path, kind))


@pytest.mark.parametrize("path", PATHS)
def test_it_is_not_stored_and_says_so(path):
    from mlcore.store.folds import model_name

    with pytest.raises(StoreError, match="cannot be (stored|found)|no name in MODELS"):
        model_name(case_of(path, PATHS[path][0]).fitted)


def test_fit_leaves_the_estimator_as_it_was():
    forest = make_model("sklearn.ensemble.RandomForestRegressor", n_estimators=3)
    before, case = forest.get_params(), Case(forest, TASKS["regression"])
    assert case.fit(forest) is forest
    assert {name: value for name, value in forest.get_params().items() if name != "estimator"} == {
        name: value for name, value in before.items() if name != "estimator"
    }
    assert forest.estimator is before["estimator"]
    assert not hasattr(forest.estimator, "estimators_")


def test_a_classifier_speaks_no_returns_and_a_regressor_no_classes():
    windows, y = Windows(np.zeros((50, 2), np.float32), np.arange(50)), np.arange(50) % 3.0
    with pytest.raises(BarwiseError, match="no regressor"):
        model_by_path("sklearn.ensemble.ExtraTreesClassifier").fit(windows, y, task=TASKS["regression"])
    with pytest.raises(BarwiseError, match="no probabilities"):
        model_by_path("sklearn.linear_model.Ridge").fit(windows, y, task=TASKS["classes"])
    with pytest.raises(BarwiseError, match="no probabilities"):
        model_by_path("sklearn.svm.LinearSVC").fit(windows, y, task=TASKS["classes"])
    with pytest.raises(BarwiseError, match="QuantileRegressor"):
        model_by_path("sklearn.linear_model.Ridge").fit(windows, y, task=TASKS["quantiles"])


def test_seed_and_jobs_are_ours():
    task = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
    table = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    windows, y = Windows(table, np.arange(200)), (table[:, 0] > 0).astype(float)
    model = model_by_path("sklearn.ensemble.ExtraTreesClassifier", n_estimators=5, seed=11).fit(windows, y, task=task)
    assert model.estimators_[0].random_state == 11
    assert model.estimators_[0].n_jobs == 1
    assert model.estimator.random_state is None


def test_parameters_go_where_they_belong():
    model = make_model("torch.nn.LSTM", hidden_size=5, num_layers=2, lookback=7, epochs=3, seed=4)
    assert (model.parameters, model.lookback, model.epochs, model.seed) == (
        {"hidden_size": 5, "num_layers": 2},
        7,
        3,
        4,
    )
    forest = make_model("sklearn.ensemble.RandomForestRegressor", n_estimators=9, lookback=7)
    assert (forest.estimator.n_estimators, forest.lookback) == (9, 7)


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        ("sklearn.ensemble.ExtraTreeClassifier", {}, "did you mean|Did you mean"),
        ("no.such.thing", {}, "No module named"),
        ("pandas.DataFrame", {}, "neither"),
        ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimator": 5}, "`n_estimator` is no parameter.*n_estimators"),
        (f"{HERE}.Mean", {"hiden": 5}, "`hiden` is no parameter.*hidden"),
    ],
)
def test_what_leads_nowhere_is_refused_with_a_hint(path, given, said):
    with pytest.raises(BarwiseError, match=said):
        make_model(path, **given)


@pytest.mark.parametrize(
    ("path", "named"), [("sklearn.ensemble", "sklearn.ensemble.AdaBoost"), ("torch.nn", "torch.nn.")]
)
def test_a_module_is_refused_with_a_class_of_it(path, named):
    with pytest.raises(BarwiseError, match=f"`model` '{path}' is a module; name a class in it.* As {named}") as told:
        make_model(path)
    assert "Did you mean" not in str(told.value)
    with pytest.raises(BarwiseError, match="has no class 'ExtraTree'. Did you mean 'ExtraTrees(Classifier|Regressor)'"):
        make_model("sklearn.ensemble.ExtraTree")


def test_a_path_has_no_presets():
    with pytest.raises(BarwiseError, match="`preset` is 'light'"):
        make_model("torch.nn.GRU", "light")


def test_a_network_that_mixes_up_its_windows_is_refused():
    model = model_by_path(f"{HERE}.Wrong", lookback=2)
    with pytest.raises(BarwiseError, match="gave shape"):
        model.build(3)
    with pytest.raises(BarwiseError, match="Identity cannot be|gave shape|MODELS|`"):
        model_by_path("torch.nn.Bilinear", in2_features=3, out_features=2, lookback=2).build(3)


def test_import_class_refuses_what_is_no_class():
    with pytest.raises(BarwiseError, match="has no class"):
        import_class("math.pi")
    with pytest.raises(StoreError, match="get_state"):
        check_storable(make_model("sklearn.linear_model.Ridge"))
