import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.explain import MOST_WINDOWS, bars_back, explanation_of, feature_names, flat_names
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models.inputs import flatten
from mlcore.models.linear import Linear
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars

BARS = random_bars(700, seed=3)
FEATURES = feature_table(BARS, ["close_pct_change", ("volatility", {"window": 10}), "rsi"])
LABEL = direction(BARS, horizon=2, threshold=0.005)


class Told:
    """A model that says what it was shown."""

    def __init__(self, **tables):
        self.tables = tables

    def explain(self, windows):
        self.shown = windows
        return self.tables


class Shows(Linear):
    """Says which windows it was shown: its own last column is the number of the bar."""

    scaled = False

    def explain(self, windows):
        rows = windows.last[:, -1]
        return {"rows": pd.DataFrame({"first": [rows[0]], "last": [rows[-1]], "n": [len(rows)]}, ["row"])}


class Refuses(Linear):
    def explain(self, windows):
        raise BarwiseError("`moon` is not full.")


def windows(n=600):
    return Windows(np.arange(2.0 * n).reshape(n, 2), np.arange(n))


def walked(model, **options):
    options = {"label": LABEL, "features": FEATURES, "folds": WalkForward(train=200, test=150)} | options
    return walk_forward(BARS, model, **options)


def test_a_model_without_explain_says_nothing():
    assert explanation_of(object(), windows()) == {}
    assert explanation_of(Told(a=pd.DataFrame({"x": [1.0]})), windows(0)) == {}


def test_the_first_windows_are_explained():
    told = Told(a=pd.DataFrame({"x": [1, 2]}, ["one", "two"]))
    table = explanation_of(told, windows())["a"]
    assert told.shown.rows.tolist() == list(range(MOST_WINDOWS))
    assert table.dtypes.tolist() == [np.float64]


@pytest.mark.parametrize(
    "table",
    [
        np.ones((2, 2)),
        pd.DataFrame(),
        pd.DataFrame({"x": [1.0, np.inf]}),
        pd.DataFrame({"x": [1.0, 2.0]}, ["same", "same"]),
        pd.DataFrame([[1.0, 2.0]], columns=["same", "same"]),
    ],
    ids=["array", "empty", "inf", "rows", "columns"],
)
def test_what_cannot_be_drawn_is_warned_of_and_left_out(table):
    with pytest.warns(BarwiseWarning, match="cannot be told: `explain` of Told gave 'a'"):
        assert explanation_of(Told(a=table), windows()) == {}


def test_names_of_flat_windows_stand_where_their_values_are():
    model = Linear(lookback=3)
    assert flat_names(model, 1) == ["feature 0, 2 back", "feature 0, 1 back", "feature 0"]
    model.feature_names_in_ = ("a", "b")
    assert feature_names(model, 2) == ["a", "b"]
    row = flatten(Windows(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]), np.array([2]), 3))[0]
    at = dict(zip(flat_names(model, 2), row, strict=True))
    assert (at["a"], at["b, 1 back"], at["a, 2 back"]) == (3.0, 20.0, 1.0)
    assert bars_back(3).tolist() == [2, 1, 0]


def test_the_walk_forward_explains_the_first_forecasts_of_its_last_fold():
    numbered = FEATURES.assign(row=np.arange(len(BARS), dtype=float))
    numbered.attrs["memory"] = FEATURES.attrs["memory"]
    run = walked(Shows(), features=numbered)
    last = run.folds[-1]
    first = BARS.index.get_loc(last["test_start"])
    n = min(last["n_forecasts"], MOST_WINDOWS)
    assert run.explanation["rows"].loc["row"].tolist() == [first, first + n - 1, n]


@pytest.mark.parametrize("model", ["lightgbm", "linear"])
def test_two_jobs_explain_as_one_and_names_are_the_features(model):
    one, two = (walked(model, n_jobs=jobs, seed=5).explanation for jobs in (1, 2))
    assert one and list(one) == list(two)
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name], check_exact=True)
    if model == "linear":
        assert one["coefficients"].index.tolist() == list(FEATURES)


def test_a_model_that_refuses_to_explain_still_forecasts():
    run = walked(Refuses())
    assert run.explanation == {}
    assert run.forecasts["signal"].notna().all()
    assert run.notes == ("What the model looks at cannot be told: `moon` is not full.",)


def test_a_last_fold_that_could_not_be_fitted_explains_nothing():
    one_class = LABEL.values.copy()
    one_class[380:] = 1.0
    label = type(LABEL)(one_class, LABEL.returns, LABEL.ends, LABEL.span, LABEL.task)
    run = walked(Linear(), label=label)
    assert run.folds[-1]["note"] is not None and run.folds[0]["note"] is None
    assert run.explanation == {}
