"""The main job hands every setting to the piece it is meant for, and trades the rivals it promises."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models import make
from mlcore.models.linear import Linear
from mlcore.walkforward import WalkForwardRun, walk_forward
from strategies import main_job
from strategies.backtest import backtest
from strategies.calibrated import Calibration
from strategies.config import StudyConfig
from strategies.output import result_json
from strategies.policy import target_weights
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts, fake_result

BARS = random_bars(400, seed=5)
FIRST = 150  # the first out-of-sample row
DEFAULTS = {
    "model": "linear", "preset": None, "set": None, "members": None, "lookback": None, "confidence": None,
    "loss": None, "loss_params": None, "class_weights": None,
    "schedule": None, "warm_start": False, "incremental": None, "batched": False,
    "label": "direction", "horizon": 5, "threshold": 0.002, "edges": None, "quantiles": None,
    "label_entry": "next_open", "train": "60D", "test": "7D", "expanding": False, "latency": 0, "max_gap": 3,
    "repair": "", "stamped": "open", "symbol": None, "start": None, "end": None,
    "calibration": "none", "interval": None, "store": None,
    "commission": 0.001, "slippage": 0.0005, "sizer": "fixed",
    "sizer_params": None, "entry": 0.0, "exit": 0.0, "min_confidence": 0.0, "min_hold": 0, "band": 0.0,
    "side": "both", "engine": "both",
    "days_per_year": 365.0, "cash": 10_000.0, "n_jobs": -1, "seed": 0, "overwrite": False,
}  # fmt: skip
OTHERS = {
    "model": "rival", "preset": "big", "set": {"depth": 7}, "members": "a, b:light", "lookback": 17,
    "confidence": "entropy", "loss": "focal", "loss_params": {"gamma": 1.0}, "class_weights": (2.0, 1.0, 2.0),
    "schedule": "plateau", "warm_start": True, "incremental": "1D", "batched": True,
    "label": "mine", "horizon": 3, "threshold": 0.004, "label_entry": "close",
    "edges": (0.01, 0.03), "quantiles": (0.2, 0.5, 0.8),
    "train": "45D", "test": "9D", "expanding": True, "latency": 2, "max_gap": 6, "repair": "sort, drop_duplicates",
    "stamped": "close", "symbol": "ETHUSDT", "start": "2023-12-01", "end": "2024-12-01",
    "calibration": "platt", "interval": 0.7, "store": "s",
    "commission": 0.003, "slippage": 0.007, "sizer": "confidence",
    "sizer_params": {"size": 0.4}, "entry": 0.3, "exit": 0.1, "min_confidence": 0.2, "min_hold": 4, "band": 0.05,
    "side": "long",
    "engine": "vectorbt", "days_per_year": 252.0, "cash": 5_000.0, "n_jobs": 2, "seed": 23, "overwrite": True,
}  # fmt: skip


def test_the_defaults_are_those_of_the_handbook():
    found = {f.name: f.default for f in fields(StudyConfig)}
    assert found == {"bars": MISSING, "out": MISSING} | DEFAULTS


def only(monkeypatch, models: dict[str, Any]) -> None:
    """Let the main job, and the maker of models that it calls, know `models` and no other."""
    for module in (main_job, make):
        monkeypatch.setattr(module, "MODELS", models)


def rival_signature(
    lookback=9, width=1, depth=1, seed=0, loss=None, loss_params=None, class_weights=None, schedule="", members=()
):
    """What the main job may ask of the rival."""


class Untouched:
    """A calibration that leaves forecasts as they are, and notes whose they were in `seen`."""

    def __init__(self, seen: list[WalkForwardRun]) -> None:
        self.seen = seen

    def check(self, task: Any) -> None: ...

    def of(self, run: WalkForwardRun, label: Any, index: Any) -> WalkForwardRun:
        self.seen.append(run)
        return run

    def reliability(self, raw: WalkForwardRun, run: WalkForwardRun, label: Any, index: Any) -> dict[str, Any]:
        return {"method": None, "before": {"n": len(index)}, "after": None}


def every_parameter(
    bars: pd.DataFrame, horizon: int, threshold: float, edges: Any = (), quantiles: Any = (), *, entry: Any
) -> None:
    """The signature of a label that knows every setting there is."""


class Job:
    """The main job with its pieces replaced by spies; `calls` holds what each was called with."""

    def __init__(self, monkeypatch, **settings: Any) -> None:
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.runs: list[WalkForwardRun] = []
        self.results: list[Any] = []
        self.corrected: list[WalkForwardRun] = []
        self.config = StudyConfig(bars="folder/mine.csv", out="o", **settings)
        self.paid = (0.0, 0.0)
        for name, original, fake in (
            ("read_bars", main_job.read_bars, lambda **_: BARS),
            ("between", main_job.between, lambda bars, **_: bars),
            ("walk_forward", walk_forward, self._walk),
            ("target_weights", target_weights, lambda forecasts, **_: forecasts["signal"]),
            ("backtest", backtest, self._trade),
        ):
            monkeypatch.setattr(main_job, name, self.spy(name, original, fake))
        label = self.spy("label", every_parameter, lambda edges=None, quantiles=None, **given: direction(**given))
        monkeypatch.setattr(main_job, "LABELS", {"mine": label, "direction": label})
        rival = self.spy(
            "model",
            rival_signature,
            lambda **given: SimpleNamespace(**{"lookback": 1, **given}),
        )
        calibration = self.spy("calibration", Calibration, lambda **given: Untouched(self.corrected))
        monkeypatch.setattr(main_job, "Calibration", calibration)
        rival.presets = {"big": {"width": 99, "depth": 2}}
        only(monkeypatch, {"rival": rival, "linear": Linear})

    def spy(self, name: str, original: Any, fake: Any) -> Any:
        signature = inspect.signature(original)
        self.calls[name] = []

        @functools.wraps(original)
        def called(*args: Any, **kwargs: Any) -> Any:
            given = dict(signature.bind(*args, **kwargs).arguments)
            self.calls[name].append(given)
            return fake(**given)

        return called

    def _walk(self, progress: Any = None, **_: Any) -> WalkForwardRun:
        progress(1, 4, 0.5)
        number = len(self.runs)
        forecasts = fake_forecasts(BARS.iloc[FIRST:], n_folds=2, seed=number)
        told = {"importance": pd.DataFrame({"gain": [0.7, 0.3]}, [f"feature of run {number}", "rsi"])}
        self.runs.append(WalkForwardRun(forecasts, [{"fold": number}], (f"note of run {number}",), told))
        return self.runs[-1]

    def _trade(self, bars: pd.DataFrame, weights: pd.Series, engine: str = "both", **_: Any) -> Any:
        commission, slippage = self.paid
        metrics = {"commission_paid": commission, "slippage_paid": slippage}
        names = ["backtrader", "vectorbt"] if engine == "both" else [engine]
        results = {name: fake_result(name, bars, weights, **metrics) for name in names}
        self.results.append(results)
        return results, {"agrees": True} if engine == "both" else None

    def run(self, *progress: Any) -> Any:
        return main_job.run_study(self.config, *progress)


@pytest.fixture
def job(monkeypatch) -> Any:
    return functools.partial(Job, monkeypatch)


def test_every_setting_arrives_where_it_belongs(job):
    made = job(**OTHERS)
    study = made.run()
    read, cut, label, model = (made.calls[name][0] for name in ("read_bars", "between", "label", "model"))
    walked, weighed, traded = (made.calls[name][0] for name in ("walk_forward", "target_weights", "backtest"))
    policy, folds, corrected = weighed["policy"], walked["folds"], made.calls["calibration"][0]
    arrived = {
        "bars": read["path"], "repair": ", ".join(read["repair"]), "stamped": read["stamped"], "symbol": read["symbol"],
        "start": cut["start"], "end": cut["end"],
        "horizon": label["horizon"], "threshold": label["threshold"], "label_entry": label["entry"],
        "edges": label["edges"], "quantiles": label["quantiles"],
        "loss": model["loss"], "loss_params": model["loss_params"], "class_weights": model["class_weights"],
        "schedule": model["schedule"], "warm_start": walked["warm_start"], "incremental": walked["incremental"],
        "batched": walked["batched"],
        "lookback": model["lookback"], "seed": model["seed"], "set": {"depth": model["depth"]},
        "members": ", ".join(model["members"]),
        "preset": {99: "big"}[model["width"]],
        "train": folds.train, "test": folds.test, "expanding": folds.expanding, "latency": folds.latency,
        "calibration": corrected["method"], "interval": corrected["interval"], "store": walked["store"],
        "confidence": walked["confidence"], "max_gap": walked["max_gap"], "n_jobs": walked["n_jobs"],
        "entry": policy.entry, "exit": policy.exit, "min_hold": policy.min_hold, "band": policy.band,
        "side": policy.side, "min_confidence": policy.min_confidence,
        "sizer": weighed["sizer"], "sizer_params": weighed["sizer_params"],
        "commission": traded["costs"].commission, "slippage": traded["costs"].slippage, "cash": traded["cash"],
        "days_per_year": traded["days_per_year"], "engine": traded["engine"],
    }  # fmt: skip
    wanted = made.config.as_dict() | {"train": pd.Timedelta("45D"), "test": pd.Timedelta("9D")}
    unseen = {"out", "overwrite"}  # the script's own
    by_name = {"model", "label"}  # the spies are found by these names only
    assert set(arrived) == set(wanted) - unseen - by_name
    assert arrived == {name: wanted[name] for name in arrived}
    assert all(wanted[name] != value for name, value in DEFAULTS.items())
    assert (corrected["latency"], corrected["confidence"]) == (2, "entropy")
    assert walked["seed"] == 23
    assert weighed["days_per_year"] == 252.0
    assert study.config == made.config.as_dict()
    assert study.seed == 23
    assert study.title == "rival on mine.csv"


def test_rivals_have_the_same_protocol_and_the_same_costs(job):
    made = job(**OTHERS)
    made.run()
    training = {"warm_start", "incremental", "batched"}
    own = {"model", "shuffle_labels", "progress", "label", "features", "bars", "store", "symbol"} | training
    kept = [{name: call[name] for name in set(call) - own} for call in made.calls["walk_forward"]]
    folds = WalkForward("45D", "9D", expanding=True, latency=2)
    assert kept == [{"folds": folds, "max_gap": 6, "n_jobs": 2, "seed": 23, "confidence": "entropy"}] * 3
    assert [id(run) for run in made.corrected] == [id(run) for run in made.runs]  # the rivals are calibrated alike
    assert [call.get("store") for call in made.calls["walk_forward"]] == ["s", None, None]
    told = [{name: call[name] for name in training if name in call} for call in made.calls["walk_forward"]]
    mine = {"warm_start": True, "incremental": "1D", "batched": True}
    assert told == [mine, mine, {}]  # the linear rival is refitted from nothing
    for call in made.calls["walk_forward"]:
        assert call["bars"] is BARS
        assert call["label"].recipe == made.calls["walk_forward"][0]["label"].recipe
        assert call["features"] is made.calls["walk_forward"][0]["features"]
    for call in made.calls["target_weights"]:
        assert {name: call[name] for name in ("sizer", "sizer_params", "days_per_year")} == {
            "sizer": "confidence", "sizer_params": {"size": 0.4}, "days_per_year": 252.0,
        }  # fmt: skip
        assert call["policy"] == made.calls["target_weights"][0]["policy"]
        assert call["bars"] is BARS
    assert len(made.calls["backtest"]) == 5
    for call in made.calls["backtest"]:
        assert (call["costs"].commission, call["costs"].slippage) == (0.003, 0.007)
        assert (call["cash"], call["days_per_year"]) == (5_000.0, 252.0)
        assert call["bars"].equals(BARS.iloc[FIRST:])  # out of sample only


def test_the_linear_rival_learns_from_the_rows_that_the_model_can_use(job):
    made = job(model="rival", label="mine", lookback=17)
    made.run()
    mine, shuffled, linear = (call["label"] for call in made.calls["walk_forward"])
    assert mine is shuffled
    whole = int(made.calls["walk_forward"][0]["features"].isna().any(axis=1).sum()) + 17 - 1
    assert np.isnan(linear.values[:whole]).all() and not np.isnan(mine.values[:whole]).any()
    np.testing.assert_array_equal(linear.values[whole:], mine.values[whole:])


def test_each_rival_is_what_its_name_says(job):
    made = job(**OTHERS)
    study = made.run()
    model, shuffled, linear = made.calls["walk_forward"]
    assert [call.get("shuffle_labels", False) for call in (model, shuffled, linear)] == [False, True, False]
    assert shuffled["model"] is model["model"]
    assert model["model"].lookback == 17
    assert isinstance(linear["model"], Linear)
    signals = [run.forecasts["signal"] for run in made.runs]
    assert list(study.baselines) == ["buy_and_hold", "flat", "shuffled_label", "linear"]
    weights = {name: result.weights for name, result in study.baselines.items()}
    assert (weights["buy_and_hold"] == 1.0).all()
    assert (weights["flat"] == 0.0).all()
    pd.testing.assert_series_equal(weights["shuffled_label"], signals[1])
    pd.testing.assert_series_equal(weights["linear"], signals[2])
    assert not signals[1].equals(signals[2])
    pd.testing.assert_series_equal(study.results["vectorbt"].weights, signals[0])
    assert all(weight.index.equals(BARS.index[FIRST:]) for weight in weights.values())


def test_the_model_s_forecasts_go_into_its_backtest_and_out_of_the_study(job):
    made = job(**OTHERS)
    study = made.run()
    forecasts = made.runs[0].forecasts
    assert made.calls["backtest"][0]["forecasts"] is forecasts
    assert study.forecasts is forecasts
    assert study.folds == [{"fold": 0}]
    assert study.explanation is made.runs[0].explanation
    assert result_json(study)["explanation"] == {"importance": {"row": ["feature of run 0", "rsi"], "gain": [0.7, 0.3]}}
    assert study.bars.equals(BARS.iloc[FIRST:])
    assert study.data == main_job.describe(BARS)


def test_a_linear_model_has_no_linear_rival_and_another_linear_model_has(job, monkeypatch):
    made = job(horizon=3, seed=5)
    study = made.run()
    assert [call.get("shuffle_labels", False) for call in made.calls["walk_forward"]] == [False, True]
    assert list(study.baselines) == ["buy_and_hold", "flat", "shuffled_label"]
    other = job(set={"shrinkage": 1.0})
    assert list(other.run().baselines) == ["buy_and_hold", "flat", "shuffled_label", "linear"]
    assert [call["model"].shrinkage for call in other.calls["walk_forward"]] == [1.0, 1.0, Linear().shrinkage]


@pytest.mark.parametrize(
    ("engine", "rivals"), [("both", "vectorbt"), ("vectorbt", "vectorbt"), ("backtrader", "backtrader")]
)
def test_rivals_trade_in_one_engine_and_the_model_in_those_asked_for(job, engine, rivals):
    made = job(engine=engine, **{name: OTHERS[name] for name in ("model", "preset", "set", "label")})
    study = made.run()
    assert [call["engine"] for call in made.calls["backtest"]] == [engine] + [rivals] * 4
    assert set(study.results) == ({"backtrader", "vectorbt"} if engine == "both" else {engine})
    assert {result.engine for result in study.baselines.values()} == {rivals}
    assert study.reconciliation == ({"agrees": True} if engine == "both" else None)


def test_a_rival_that_cannot_speak_by_the_rule_speaks_by_the_labels_own_and_the_model_is_refused(job):
    made = job(**OTHERS | {"confidence": "monte_carlo_dropout"})
    with pytest.raises(BarwiseError, match="`confidence` is 'monte_carlo_dropout', which needs a network"):
        made.run()
    network = SimpleNamespace(predict_passes=None, dropout=0.1)
    protocol = main_job.StudyProtocol(made.config, BARS, None, direction(BARS), None, 1)
    assert protocol.confidence(network) == "monte_carlo_dropout"
    assert protocol.confidence(Linear()) is None


@pytest.mark.parametrize(("text", "wanted"), [("", ()), ("sort", ("sort",)), (" sort ,, fill ", ("sort", "fill"))])
def test_repairs_are_parted_at_commas(job, text, wanted):
    made = job(repair=text)
    made.run()
    assert tuple(made.calls["read_bars"][0]["repair"]) == wanted


def test_progress_is_told_under_the_name_of_what_is_walked(job):
    told: list[tuple[Any, ...]] = []
    job(**OTHERS).run(lambda *args: told.append(args))
    walked = [("rival", 1, 4), ("shuffled labels", 1, 4), ("linear", 1, 4)]
    assert [one for one in told if one[0] != "trading"] == walked
    assert [one for one in told if one[0] == "trading"] == [("trading", done, 5) for done in range(6)]


def test_progress_of_trading_ends_where_there_is_no_linear_rival(job):
    told: list[tuple[Any, ...]] = []
    job().run(lambda *args: told.append(args))
    assert told[-1] == ("trading", 4, 4)


def test_warnings_of_ours_become_notes_once_and_come_first_and_others_stay_warnings(job, monkeypatch):
    made = job(**OTHERS)

    def features(model: Any, bars: pd.DataFrame) -> pd.DataFrame:
        for _ in range(2):
            warnings.warn("three bars are odd", BarwiseWarning, stacklevel=2)
        warnings.warn("not ours", UserWarning, stacklevel=2)
        return bars

    monkeypatch.setattr(main_job, "table_for", features)
    with pytest.warns(UserWarning, match="not ours"):
        study = made.run()
    assert study.notes[:2] == ("three bars are odd", "note of run 0")
    assert study.notes.count("three bars are odd") == 1
    assert "not ours" not in study.notes


def test_the_table_is_made_for_the_model_and_its_rivals_read_it_too(job, monkeypatch):
    made, asked, table = job(**OTHERS), [], pd.DataFrame({"a": 1.0}, BARS.index)
    monkeypatch.setattr(main_job, "table_for", lambda *args: asked.append(args) or table)
    made.run()
    ((model, bars),) = asked
    assert bars is BARS
    assert model is made.calls["walk_forward"][0]["model"]
    assert all(call["features"] is table for call in made.calls["walk_forward"])


@pytest.mark.parametrize(("paid", "said"), [((800.0, 450.0), True), ((800.0, 449.0), False), ((None, None), False)])
def test_costs_of_a_quarter_of_the_cash_are_told(job, paid, said):
    made = job(**OTHERS)  # 5,000 in cash
    made.paid = paid
    notes = [note for note in made.run().notes if "Commission and slippage took" in note]
    assert len(notes) == said
    assert not said or "took 25% of the starting cash" in notes[0]


@pytest.mark.parametrize("engine", ["backtrader", "vectorbt"])
def test_held_bars_earn_what_their_price_did_less_the_costs(job, monkeypatch, engine):
    made = job(engine=engine, commission=0.003, slippage=0.007, cash=5_000.0)
    monkeypatch.setattr(main_job, "backtest", backtest)
    found = made.run().baselines
    opened, close = BARS["open"].iloc[FIRST + 1], BARS["close"].iloc[-1]  # decided on FIRST, filled a bar later
    fill = opened * 1.007
    units = min(5_000 / BARS["close"].iloc[FIRST], 5_000 / (fill * 1.003))
    assert units == 5_000 / (fill * 1.003)  # the cash pays for a part, and all of it goes
    assert found["buy_and_hold"].metrics["final_value"] == pytest.approx(5_000 * close / fill / 1.003, rel=1e-9)
    assert found["buy_and_hold"].metrics["n_orders"] == 1
    assert found["flat"].metrics["final_value"] == 5_000
    assert found["flat"].metrics["n_orders"] == 0
    finals = [result.metrics["final_value"] for result in found.values()]
    assert len(set(finals[:3])) == 3


@pytest.mark.parametrize("wrong", [{"exit": 0.5}, {"sizer": "fixd"}, {"sizer_params": {"sise": 1.0}}])
def test_trading_that_cannot_be_is_refused_before_the_bars_are_read(job, wrong):
    made = job(**wrong)
    with pytest.raises(BarwiseError):
        made.run()
    assert made.calls["read_bars"] == []


def test_a_loss_that_the_label_does_not_fit_is_refused_before_any_fold_is_fitted(job, monkeypatch):
    made = job(model="linear", loss="huber")
    monkeypatch.setattr(main_job, "walk_forward", walk_forward)
    with pytest.raises(BarwiseError, match="^`loss` is 'huber', which is not for a label of kind 'classes'"):
        made.run()
