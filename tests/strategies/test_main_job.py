"""The main job hands every setting to the piece it is meant for, and trades the rivals it promises."""

from __future__ import annotations

import functools
import inspect
import json
import math
import warnings
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import bars_sha256
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.folds import WalkForward
from mlcore.labels import direction, five_class, forward_return
from mlcore.models import make
from mlcore.models.linear import Linear
from mlcore.walkforward import WalkForwardRun, walk_forward
from strategies import main_job
from strategies.backtest import backtest
from strategies.calibrated import Calibration
from strategies.config import StoredConfig, StudyConfig
from strategies.main_job import threshold_notes
from strategies.output import plain, result_json
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
    "repair": "", "stamped": "open", "symbol": None, "calibration": "none", "interval": None, "store": None,
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
    "stamped": "close", "symbol": "ETHUSDT", "calibration": "platt", "interval": 0.7, "store": "s",
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
            lambda **given: SimpleNamespace(**given),
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
    read, label, model = (made.calls[name][0] for name in ("read_bars", "label", "model"))
    walked, weighed, traded = (made.calls[name][0] for name in ("walk_forward", "target_weights", "backtest"))
    policy, folds, corrected = weighed["policy"], walked["folds"], made.calls["calibration"][0]
    arrived = {
        "bars": read["path"], "repair": ", ".join(read["repair"]), "stamped": read["stamped"], "symbol": read["symbol"],
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
        assert call["label"] is made.calls["walk_forward"][0]["label"]
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
    protocol = main_job.StudyProtocol(made.config, BARS, None, direction(BARS), None)
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
    made, asked, table = job(**OTHERS), [], object()
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


def test_only_parameters_that_a_label_or_a_model_knows_are_passed(monkeypatch):
    config = StudyConfig(bars="b", out="o", label="return", horizon=4, label_entry="close", seed=3)
    label = main_job.make_label(BARS, config)
    np.testing.assert_array_equal(label.values, forward_return(BARS, 4, entry="close").values)
    only(monkeypatch, {"plain": lambda: "made", "seeded": lambda lookback=9, seed=0: (lookback, seed)})
    assert main_job.make_model("plain", config) == "made"
    assert main_job.make_model("seeded", config) == (9, 3)  # without a `lookback` the model keeps its own


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("linear", {"members": "lstm,tcn"}, "'linear' is one model; ensembles are .*average.*meta"),
        ("stack", {"members": "a", "set": {"members": "b"}}, "`set` holds `members`"),
        ("stack", {"members": " , "}, "name at least one model"),
        ("stack", {"lookback": 30}, "`lookback` is each member's own"),
        ("stack", {"members": "lstm,tcn", "lookback": 30}, "`lookback` is each member's own"),
    ],
)
def test_members_are_for_ensembles(model, settings, said):
    with pytest.raises(BarwiseError, match=said):
        main_job.make_model(model, StudyConfig(bars="b", out="o", model=model, **settings))


def test_an_ensemble_is_made_of_the_members_named():
    config = StudyConfig(bars="b", out="o", model="stack", members="linear, tcn:light", set={"shrinkage": 2.0}, seed=4)
    made = main_job.make_model("stack", config)
    assert (made.members, made.shrinkage, made.seed) == (("linear", "tcn:light"), 2.0, 4)
    assert [type(member).__name__ for member in made.member_models()] == ["Linear", "TCN"]


def test_gaps_are_places_and_not_bars():
    bars = BARS.drop(BARS.index[[10, 11, 12, 50, 51]])
    assert main_job.describe(bars) == {
        "rows": 395,
        "gaps": 2,
        "first": BARS.index[0].isoformat(),
        "last": BARS.index[-1].isoformat(),
        "sha256": bars_sha256(bars),
    }
    assert main_job.describe(BARS)["gaps"] == 0


def test_versions_name_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(main_job, "LIBRARIES", ["numpy", "no-such-library-at-all"])
    found = main_job.versions()
    assert list(found) == ["python", "numpy", "no-such-library-at-all"]
    assert (found["numpy"], found["no-such-library-at-all"]) == (np.__version__, "not installed")


def test_numbers_json_does_not_know_become_null():
    value = {
        1: [math.nan, math.inf, -math.inf, 1.5],
        "numpy": (np.float64("nan"), np.float32("inf"), np.int64(3), np.bool_(True)),
        "stamp": pd.Timestamp("2024-01-01", tz="UTC"),
        "deep": {"a": [{"b": np.float64("-inf")}]},
        "as it is": [None, True, 7, "nan"],
    }
    found = plain(value)
    assert found == {
        "1": [None, None, None, 1.5],
        "numpy": [None, None, 3, True],
        "stamp": "2024-01-01T00:00:00+00:00",
        "deep": {"a": [{"b": None}]},
        "as it is": [None, True, 7, "nan"],
    }
    assert type(found["numpy"][2]) is int


@pytest.mark.parametrize("name", ["commission", "slippage"])
def test_costs_lie_in_zero_to_one(name):
    assert getattr(StudyConfig(bars="b", out="o", **{name: 0.0}), name) == 0.0
    for wrong in (-0.1, -1e-9, 1.0):
        with pytest.raises(BarwiseError, match=rf"`{name}` is {wrong}; it must be a fraction in \[0, 1\)"):
            StudyConfig(bars="b", out="o", **{name: wrong})


@pytest.mark.parametrize("wrong", [{"exit": 0.5}, {"sizer": "fixd"}, {"sizer_params": {"sise": 1.0}}])
def test_trading_that_cannot_be_is_refused_before_the_bars_are_read(job, wrong):
    made = job(**wrong)
    with pytest.raises(BarwiseError):
        made.run()
    assert made.calls["read_bars"] == []


@pytest.mark.parametrize("store", ["o", "o/models", "./o/a/b"])
def test_a_store_inside_the_folder_that_is_made_anew_is_refused(store):
    with pytest.raises(BarwiseError, match="`store` is .* inside `out`"):
        StudyConfig(bars="b", out="o", store=store)
    assert StudyConfig(bars="b", out="o/p", store="o/q").store == "o/q"


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 80])
def test_an_interval_is_a_share(wrong):
    with pytest.raises(BarwiseError, match="`interval` is .* share of the labels between 0 and 1"):
        StudyConfig(bars="b", out="o", interval=wrong)


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("bars") / "bars.parquet"
    random_bars(1500, seed=3).to_parquet(path)
    return path


def real(bars_file, **settings: Any) -> Any:
    settings = {"train": "600", "test": "200", "n_jobs": 1, "engine": "vectorbt", **settings}
    return main_job.run_study(StudyConfig(bars=str(bars_file), out="o", **settings))


@pytest.mark.parametrize(
    ("flags", "measure"),
    [({"calibration": "platt"}, "brier_score"), ({"label": "return", "interval": 0.7}, "coverage")],
)
def test_calibrated_forecasts_are_traded_and_the_raw_ones_kept(bars_file, flags, measure):
    without = {"label": flags.get("label", "direction")}
    plain_study, study = (real(bars_file, sizer="confidence", **given) for given in (without, flags))
    pd.testing.assert_frame_equal(study.raw, plain_study.forecasts, check_exact=True)
    assert plain_study.raw is None and plain_study.reliability["after"] is None
    again = target_weights(study.forecasts, random_bars(1500, seed=3), sizer="confidence")
    pd.testing.assert_series_equal(study.results["vectorbt"].weights, again, check_names=False, check_freq=False)
    assert not again.equals(plain_study.results["vectorbt"].weights)
    assert (study.forecasts["trained_through"] < study.forecasts.index).all()
    told = study.reliability
    assert told["method"] == flags.get("calibration", "conformal")
    assert told["before"]["n"] == told["after"]["n"] < plain_study.reliability["before"]["n"]
    assert told["before"][measure] != told["after"][measure]
    assert study.folds[0]["n_calibration"] == 0 and study.folds[0]["calibrated_through"] is None
    assert any("left as forecast" in note for note in study.notes)
    assert json.loads(json.dumps(result_json(study)))["reliability"]["after"]["n"] == told["after"]["n"]


def test_calibrated_rows_know_the_bars_their_correction_was_fitted_on(bars_file, monkeypatch):
    """The last bar that a past label touched: span 6, latency 3; the model itself is made to know none of them."""
    study = real(bars_file, calibration="temperature", latency=3)
    index = random_bars(1500, seed=3).index
    for fold in study.folds:
        rows = study.forecasts[study.forecasts["fold"] == fold["fold"]]
        first = index.get_loc(rows.index[0])
        through = index[first - 1 - 3]  # of the model and of the correction: a label that ended there may be learned
        assert set(rows["trained_through"]) == {through}
        assert fold["trained_through"] == through
        past = study.raw.loc[: index[first - 1 - 3 - 6], "signal"].notna().sum()  # rows whose label had ended
        assert fold["n_calibration"] == (past if past >= 200 else 0)
        assert fold["calibrated_through"] == (through if past >= 200 else None)


def test_no_calibrated_forecast_knows_a_later_bar(tmp_path):
    """Bars from a cut on are changed: nothing before it moves, bit for bit."""
    bars = random_bars(1500, seed=3)
    cut = 1290
    other = bars.copy()
    other.iloc[cut:, :4] *= np.linspace(1.5, 3.0, 1500 - cut)[:, None]
    studies = []
    for number, one in enumerate((bars, other)):
        one.to_parquet(tmp_path / f"{number}.parquet")
        studies.append(real(tmp_path / f"{number}.parquet", calibration="isotonic"))
    before, after = (study.forecasts.loc[: bars.index[cut - 1]] for study in studies)
    assert studies[0].folds[2]["n_calibration"] > 0 and studies[0].folds[2]["test_start"] < bars.index[cut]
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert not studies[0].forecasts.equals(studies[1].forecasts)


@pytest.mark.parametrize("flags", [{"calibration": "platt", "label": "return"}, {"interval": 0.8}])
def test_a_calibration_that_the_label_has_no_use_for_is_refused_before_the_training(bars_file, monkeypatch, flags):
    monkeypatch.setattr(main_job, "walk_forward", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(BarwiseError, match="`(calibration|interval)` is"):
        real(bars_file, **flags)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label": "return", "threshold": 0.5}, "`threshold` is 0.5, and the label 'return' has none: leave it out."),
        ({"label": "five_class", "threshold": 0.0}, "`threshold` is 0.0, and the label 'five_class'"),
        ({"quantiles": (0.1, 0.9)}, r"`quantiles` is \(0.1, 0.9\), and the label 'direction'"),
        ({"edges": (0.1, 0.9)}, "`edges` is"),
        ({"label": "plain", "label_entry": "close"}, "`label_entry` is 'close', and the label 'plain'"),
        ({"label": "plain", "horizon": 7}, "`horizon` is 7, and the label 'plain'"),
        ({"label": "direktion"}, "`label` is 'direktion', which is not known. Did you mean 'direction'"),
    ],
)
def test_a_setting_that_the_label_does_not_know_is_refused(monkeypatch, settings, said):
    monkeypatch.setitem(main_job.LABELS._entries, "plain", lambda bars: forward_return(bars, 2))
    with pytest.raises(BarwiseError, match=said):
        main_job.make_label(BARS, StudyConfig(bars="b", out="o", **settings))
    left_alone = StudyConfig(bars="b", out="o", label="plain")
    assert main_job.make_label(BARS, left_alone).span == 3


def test_labels_of_every_kind_can_be_asked_for():
    def label(**settings: Any) -> Any:
        return main_job.make_label(BARS, StudyConfig(bars="b", out="o", **settings))

    assert label(threshold=0.0).task.outputs == ("p_down", "p_up")
    assert label(label="five_class", edges=(0.01, 0.02)).recipe == five_class(BARS, 5, (0.01, 0.02)).recipe
    quantiles = label(label="return", quantiles=(0.25, 0.5, 0.75), horizon=(3, 9)).task
    assert quantiles.outputs == ("q25", "q50", "q75", "q25_h9", "q50_h9", "q75_h9")
    assert label(horizon=(4, 2)).span == 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lookback": 30}, "`lookback` is 30, and the model 'plain' has none: leave it out."),
        ({"loss": "focal"}, "`loss` is 'focal', and the model 'plain' has none"),
        ({"class_weights": "balanced"}, "`class_weights` is 'balanced', and"),
        ({"set": {"loss": "focal"}}, "`set` holds `loss`, which has a flag of its own: say `--loss focal`"),
        ({"set": {"class_weights": "balanced"}}, "say `--class-weights balanced`"),
    ],
)
def test_a_flag_that_the_model_does_not_know_is_refused(monkeypatch, settings, said):
    only(monkeypatch, {"plain": lambda seed=0: seed})
    with pytest.raises(BarwiseError, match=said):
        main_job.make_model("plain", StudyConfig(bars="b", out="o", **settings))
    assert main_job.make_model("plain", StudyConfig(bars="b", out="o", seed=4)) == 4


def test_a_loss_that_the_label_does_not_fit_is_refused_before_any_fold_is_fitted(job, monkeypatch):
    made = job(model="linear", loss="huber")
    monkeypatch.setattr(main_job, "walk_forward", walk_forward)
    with pytest.raises(BarwiseError, match="^`loss` is 'huber', which is not for a label of kind 'classes'"):
        made.run()


def test_thresholds_that_calibrated_signals_are_held_against_are_told():
    settings = {"bars": "x", "out": "y"}
    assert threshold_notes(StudyConfig(**settings, entry=0.1)) == []
    assert threshold_notes(StudyConfig(**settings, calibration="platt")) == []
    (said,) = threshold_notes(StudyConfig(**settings, calibration="platt", entry=0.1))
    assert "`entry` 0.1" in said and "calibrated" in said
    assert threshold_notes(StoredConfig(store="s", **settings, interval=0.8, exit=-0.1))
