"""One model for many symbols: one is the same as alone, none sees another's future, newcomers are carried."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import resample
from mlcore.checks.laws import changed
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.forecasts import check_forecasts
from mlcore.labels import direction, forward_return
from mlcore.models import MODELS, ensemble, make_model
from mlcore.models.average import Average
from mlcore.models.linear import Linear
from mlcore.models.meta import Meta
from mlcore.models.naive import Naive
from mlcore.panel import walk_forward_panel
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars

FEATURES = ("close_pct_change", ("volatility", {"window": 10}), "rsi")
LABEL = functools.partial(direction, horizon=2, threshold=0.005)
FOLDS = WalkForward(train=200, test=50)
N = 480
LISTED = {"AAA": (0, N), "CCC": (0, 330), "DDD": (150, N), "EEE": (260, N), "LATE": (455, N)}
HOLE = slice(210, 216)


def ragged() -> dict[str, pd.DataFrame]:
    """Five coins: all the time, delisted, listed later, later, and too late; one has a hole."""
    panel = {s: random_bars(N, seed=i).iloc[a:b] for i, (s, (a, b)) in enumerate(LISTED.items())}
    panel["AAA"] = panel["AAA"].drop(panel["AAA"].index[HOLE])
    return panel


PANEL = ragged()


def small(name):
    model = MODELS[name]()
    known = model.get_params()
    wanted = {"lookback": 6, "epochs": 1, "width": 4, "n_estimators": 15}
    return model.set_params(**{key: value for key, value in wanted.items() if key in known})


def walked(panel=None, model=None, **options):
    options = {"label": LABEL, "features": FEATURES, "folds": FOLDS, "seed": 7} | options
    return walk_forward_panel(PANEL if panel is None else panel, model or Linear(), **options)


class Spy(Linear):
    """Keeps what it was handed, fold by fold."""

    reads_symbol = True

    def fit(self, windows, y, *, task, validation=None):
        type(self).fitted.append((windows, validation[0], self.feature_names_in_))
        return super().fit(windows, y, task=task, validation=validation)

    def predict(self, windows):
        type(self).asked.append(windows)
        return super().predict(windows)


@pytest.fixture
def spy():
    Spy.fitted, Spy.asked = [], []
    return Spy


@pytest.mark.parametrize("label", [LABEL, functools.partial(forward_return, horizon=3)], ids=["classes", "returns"])
@pytest.mark.parametrize("name", ["linear", "lightgbm", "tcn", "naive"])
@pytest.mark.parametrize("folds", [FOLDS, WalkForward("8D", "2D", expanding=True, latency=2)], ids=["rows", "time"])
def test_a_panel_of_one_symbol_gives_the_bytes_of_the_symbol_alone(name, label, folds, tmp_path):
    bars = PANEL["AAA"]
    run = walked({"AAA": bars}, small(name), label=label, folds=folds)
    alone = walk_forward(
        bars, small(name), label=label(bars), features=feature_table(bars, FEATURES), folds=folds, seed=7
    )
    run.forecasts["AAA"].to_parquet(tmp_path / "panel.parquet")
    alone.forecasts.to_parquet(tmp_path / "alone.parquet")
    assert (tmp_path / "panel.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()
    for one, other in zip(run.of("AAA").folds, alone.folds, strict=True):
        assert str(one | {"seconds": 0}) == str(other | {"seconds": 0})  # a curve may hold NaN


def test_every_symbol_has_its_own_bars_forecast_from_the_first_test_on_and_after_its_training():
    run = walked()
    first = run.folds[0]["test_start"]
    for symbol, bars in PANEL.items():
        forecasts = run.forecasts[symbol]
        assert forecasts.index.equals(bars.index[bars.index >= first])
        check_forecasts(forecasts, bars)
    through = pd.concat(run.forecasts.values()).groupby("fold")["trained_through"].nunique()
    assert (through == 1).all()  # one moment for all
    delisted = run.of("CCC")
    assert delisted.folds[-1]["test_end"] < run.folds[-1]["test_start"]
    assert sum(fold["n_test"] for fold in delisted.folds) == len(delisted.forecasts)


@pytest.mark.parametrize("name", ["linear", "lightgbm"])
def test_one_job_and_two_give_the_same(name):
    one, two = (walked(model=small(name), n_jobs=jobs).forecasts for jobs in (1, 2))
    for symbol in one:
        pd.testing.assert_frame_equal(one[symbol], two[symbol], check_exact=True)


def equal_before(moment, one, other, symbols, exact=True):
    """Hold forecasts before `moment` against each other; another number of rows asked may sum in another order."""
    compared, how = 0, {"check_exact": True} if exact else {"rtol": 1e-9, "atol": 1e-12}
    for symbol in symbols:
        a, b = (run.forecasts.get(symbol) for run in (one, other))
        if a is None:
            continue
        a = a[a.index < moment]
        b = a.iloc[:0] if b is None else b[b.index < moment]
        pd.testing.assert_frame_equal(a, b, **how)
        compared += int(a["signal"].notna().sum())
    return compared


STAMPS = random_bars(N).index


@pytest.mark.parametrize("name", ["linear", "lightgbm", "lstm"])
@pytest.mark.parametrize("label", [LABEL, functools.partial(forward_return, horizon=3)], ids=["classes", "returns"])
def test_cutting_all_symbols_changes_no_forecast_before(name, label):
    whole = walked(model=small(name), label=label)
    for at in (262, 301, 470):
        shorter = {symbol: bars[bars.index < STAMPS[at]] for symbol, bars in PANEL.items()}
        cut = walked({s: bars for s, bars in shorter.items() if len(bars)}, small(name), label=label)
        assert equal_before(STAMPS[at], whole, cut, PANEL, exact=False) > 50
        other = {s: changed(b, slice(int((b.index < STAMPS[at]).sum()), None), 1.7) for s, b in PANEL.items()}
        assert equal_before(STAMPS[at], whole, walked(other, small(name), label=label), PANEL) > 50


@pytest.mark.parametrize("name", ["linear", "lightgbm", "lstm"])
def test_one_symbols_future_changes_nothing_before_it(name):
    """Cut, left out before it is listed, or with other prices from a moment on."""
    whole = walked(model=small(name))
    for symbol, at in (("AAA", 300), ("DDD", 262), ("EEE", 258)):
        bars, moment = PANEL[symbol], STAMPS[at]
        cut = {s: b[b.index < moment] if s == symbol else b for s, b in PANEL.items()}
        other = PANEL | {symbol: changed(bars, slice(int((bars.index < moment).sum()), None), 1.7)}
        for panel, exact in (({s: b for s, b in cut.items() if len(b)}, False), (other, True)):
            assert equal_before(moment, whole, walked(panel, small(name)), PANEL, exact) > 40


def test_the_past_of_another_symbol_does_matter():
    bars = PANEL["CCC"]
    other = walked(PANEL | {"CCC": changed(bars, slice(0, 150), 1.7).assign(close=bars["close"].iloc[::-1].to_numpy())})
    assert not other.forecasts["AAA"].equals(walked().forecasts["AAA"])


def test_each_symbol_has_its_own_scaler(spy):
    """Symbols whose features differ a thousandfold come out alike, column by column."""
    panel = {"A": random_bars(N, seed=1), "B": random_bars(N, seed=2, volatility=1e-5)}
    walked(panel, spy())
    for windows, held_out, _ in spy.fitted:
        x = windows.last
        for code in (0, 1):
            own = x[x[:, -1] == code, :-1]
            np.testing.assert_allclose(own.mean(axis=0), 0.0, atol=1e-5)
            np.testing.assert_allclose(own.std(axis=0), 1.0, atol=1e-4)
        assert set(held_out.last[:, -1]) == {0.0, 1.0}


def test_a_model_is_handed_no_row_after_its_last_training_row_of_any_symbol(spy):
    run = walked(model=spy(), features=lambda bars: pd.DataFrame({"hour": hours(bars)}, bars.index))
    for fold, (windows, held_out, _) in zip(run.folds, spy.fitted, strict=True):
        assert windows.table is held_out.table
        n_fitted = len(windows) + len(held_out)
        assert n_fitted <= fold["n_train"]
        assert len(windows.table) < fold["n_train"] + 50  # windows of a bar: next to nothing but the rows themselves


def hours(bars):
    return (bars.index - STAMPS[0]) / pd.Timedelta("1h") + 0.0


def test_the_symbol_is_told_by_a_code_that_newcomers_do_not_move(spy):
    run = walked(model=spy(), validation=0.35)
    names = [names for *_, names in spy.fitted]
    assert set(names) == {("close_pct_change", "volatility_window10", "rsi", "symbol")}
    codes = [set(windows.last[:, -1]) for windows, *_ in spy.fitted]
    assert codes[0] == {0.0, 1.0}  # AAA and CCC; DDD has validation rows only, EEE is not there yet
    assert {-1.0, 0.0, 1.0} == set(spy.asked[0].last[:, -1]) == set(spy.fitted[0][1].last[:, -1])
    assert max(map(max, codes)) == 3.0
    unknown = [-1.0 in windows.last[:, -1] for windows in spy.asked]
    assert unknown == [True, False, True, False, False, False]  # DDD, then EEE
    assert "symbol" not in run.forecasts["AAA"]


def test_a_symbol_with_few_rows_is_forecast_by_what_was_learnt_from_the_others():
    run = walked()
    newcomer = run.forecasts["EEE"]
    by_fold = newcomer["signal"].notna().groupby(newcomer["fold"]).sum()
    assert by_fold.gt(0).tolist() == [False, False, True, True, True, True]
    assert (PANEL["EEE"].index <= run.folds[1]["trained_through"]).sum() < 30
    assert (PANEL["EEE"].index <= run.folds[2]["trained_through"]).sum() < 60
    assert run.forecasts["LATE"]["signal"].isna().all()
    told = "\n".join(run.notes)
    assert "EEE is not forecast in fold 1: fewer than 30 whole rows" in told
    assert "LATE is not forecast in fold" in told


def test_a_model_that_wants_raw_features_needs_no_rows_before():
    late = walked(model=Naive("last_return")).forecasts["LATE"]
    assert late["signal"].notna().sum() == len(late) - 14  # the warm-up of rsi


def test_a_symbol_without_a_bar_out_of_sample_is_trained_on_and_noted():
    early = PANEL | {"GONE": random_bars(N, seed=9).iloc[:150]}
    run = walked(early)
    assert "GONE" not in run.forecasts
    assert run.notes[-1].startswith("GONE has no bar out of sample")
    assert run.folds[0]["n_train"] > walked().folds[0]["n_train"]


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(BarwiseError, match="`panel`: the bars of SLOW are 0 days 04:00:00 apart"):
        walked(PANEL | {"SLOW": resample(random_bars(N), "4h")})
    with pytest.raises(BarwiseError, match="is empty"):
        walked({})
    with pytest.raises(BarwiseError, match="AAA: .*rsj"):
        walked(features=("rsj",))
    with pytest.raises(BarwiseError, match="`stride` is 0"):
        walked(stride=0)


def test_what_an_ensemble_stops_by_is_newer_than_what_it_learns_from_over_all_coins(monkeypatch):
    seen, whole = [], ensemble.inner_split
    monkeypatch.setattr(
        ensemble, "inner_split", lambda windows, held: seen.append((windows, whole(windows, held))) or seen[-1][1]
    )
    walked(model=make_model("average", members=("linear", "naive")))
    splits = [(windows.moments[learn], windows.moments[stop]) for windows, (learn, stop) in seen]
    assert len(splits) > 1 and all(
        len(np.unique(windows.rows)) > len(np.unique(windows.moments)) for windows, _ in seen
    )
    for learned, stopped in splits:
        assert learned.max() < stopped.min()


class Blind(Linear):
    """Keeps the names of what it was handed; does not read the symbol."""

    def fit(self, windows, y, *, task, validation=None):
        assert windows.shape[2] == len(self.feature_names_in_)
        Blind.names.add(self.feature_names_in_)
        return super().fit(windows, y, task=task, validation=validation)


class Raw(Spy):
    """Wants its features as they are."""

    scaled = False


@pytest.mark.parametrize("kind", [Spy, Raw])
def test_members_of_an_ensemble_are_told_the_symbol_where_they_read_it(kind):
    kind.fitted, kind.asked, Blind.names = [], [], set()
    walked(model=Average(members=(kind(), Blind())), validation=0.35)
    features = ("close_pct_change", "volatility_window10", "rsi")
    assert Blind.names == {features}
    assert {names for *_, names in kind.fitted} == {(*features, "symbol")}
    codes = [set(windows.last[:, -1]) for windows, *_ in kind.fitted]
    assert codes[0] == {0.0, 1.0} and max(map(max, codes)) == 3.0  # as they are, whoever scales the features


def test_an_ensemble_reads_the_symbol_where_a_member_does_and_no_rule_takes_its_code_for_a_feature():
    assert not Average(members=("linear", "naive")).reads_symbol
    assert Average(members=("linear", "lightgbm")).reads_symbol
    model = Meta(members=("linear", small("lightgbm")))
    model.feature_names_in_ = ("rsi", "symbol")
    assert model.market(Windows(np.ones((5, 2)), np.arange(1, 5), 1)).shape == (4, 1)
