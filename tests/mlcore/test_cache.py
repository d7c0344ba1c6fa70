"""A walk-forward is done once; a change of anything it is made of does it again and says what changed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mlcore import cache as module
from mlcore.bars import market_of, name_market
from mlcore.cache import Training, cached_walk_forward
from mlcore.errors import BarwiseError
from mlcore.features import table_for
from mlcore.forecasts import check_forecasts
from mlcore.labels import direction
from mlcore.models.average import Average
from mlcore.models.linear import Linear
from mlcore.models.sklearn import Sklearn
from mlcore.plugins import CONFIDENCES
from mlcore.store.outcomes import KeptFolds
from mlcore.store.state import StoreError
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

BARS = random_bars(500, seed=3)
FEATURES = ("close_pct_change", ("volatility", {"window": 10}))
TRAINING = Training(
    "linear", label_params={"horizon": 2, "threshold": 0.005}, features=FEATURES, train=250, test=40, seed=5
)


def test_it_is_the_walk_forward_and_is_done_once(tmp_path: Path, fits: list[int]) -> None:
    first = cached_walk_forward(BARS, TRAINING, tmp_path)
    again = cached_walk_forward(BARS.copy(), replace(TRAINING), tmp_path)
    assert (first.hit, again.hit, len(fits)) == (False, True, 1)
    assert first.why == "the cache was empty" and again.why == ""
    pd.testing.assert_frame_equal(first.forecasts, again.forecasts, check_exact=True)
    plain = walk_forward(
        BARS,
        Linear(),
        label=direction(BARS, 2, 0.005),
        features=table_for(Linear(), BARS, FEATURES),
        folds=TRAINING.folds(),
        seed=5,
    )
    pd.testing.assert_frame_equal(again.forecasts, plain.forecasts, check_exact=True, check_freq=False)
    wanted = [{name: value for name, value in fold.items() if name != "seconds"} for fold in plain.folds]
    assert again.folds == wanted and again.notes == plain.notes
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        [first.key, "forecasts.parquet", "manifest.json"]
    )


def test_forecasts_are_of_the_market_of_the_bars_that_were_given(tmp_path: Path) -> None:
    for symbol, hit in (("BTCUSDT", False), ("BTC-PERP", True), (None, True)):
        bars = name_market(BARS.copy(), symbol)
        found = cached_walk_forward(bars, TRAINING, tmp_path)
        assert (found.hit, market_of(found.forecasts)) == (hit, symbol)
        check_forecasts(found.forecasts, bars)


@pytest.mark.parametrize(
    "changes",
    [{"latency": 1}, {"expanding": True}, {"test": 41}, {"train": 251}, {"max_gap": 4}, {"validation": 0.2},
     {"confidence": "entropy"}, {"shuffle_labels": True}],
)  # fmt: skip
def test_every_setting_is_in_the_key(changes: dict) -> None:
    one, other = TRAINING.content(BARS), replace(TRAINING, **changes).content(BARS)
    (name,) = changes
    assert name in one and one[name] != other[name]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 6}, "seed (5 there, 6 here)"),
        ({"params": {"shrinkage": 0.5}}, "params.shrinkage (0.01 there, 0.5 here)"),
        ({"model": Linear(lookback=2)}, "params.lookback (1 there, 2 here)"),
        ({"label_params": {"horizon": 3, "threshold": 0.005}}, "label_params.horizon (2 there, 3 here)"),
        ({"label_params": {"horizon": 2}}, "label_params.threshold (0.005 there, absent here)"),
        ({"features": ("close_pct_change", "volatility")}, "features (["),
        ({"test": 50}, "test (40 there, 50 here)"),
        ({"shuffle_labels": True}, "shuffle_labels (False there, True here)"),
        ({"stride": 2}, "stride (1 there, 2 here)"),
    ],
)
def test_a_change_of_a_setting_is_a_miss_that_says_so(
    changes: dict, said: str, tmp_path: Path, fits: list[int]
) -> None:
    cached_walk_forward(BARS, TRAINING, tmp_path)
    other = cached_walk_forward(BARS, replace(TRAINING, **changes), tmp_path)
    assert not other.hit and len(fits) == 2
    assert other.why.startswith("the nearest entry differs in ") and said in other.why
    assert other.why.count(" there, ") <= 1
    assert cached_walk_forward(BARS, TRAINING, tmp_path).hit


def test_other_bars_other_code_and_other_versions_are_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_walk_forward(BARS, TRAINING, tmp_path)
    last = BARS.copy()
    last.iloc[-1, 3] *= 1 + 1e-12
    assert cached_walk_forward(last, TRAINING, tmp_path).why == "the nearest entry differs in bars"
    code, versions = module.code_of, module._versions
    monkeypatch.setattr(module, "code_of", lambda *things: {**code(*things), "mlcore.features.returns": "other"})
    why = cached_walk_forward(BARS, TRAINING, tmp_path).why
    assert why == "the nearest entry differs in code of mlcore.features.returns"
    monkeypatch.setattr(module, "code_of", code)
    monkeypatch.setattr(module, "_versions", lambda: {**versions(), "pandas": "99"})
    assert "version of pandas (" in cached_walk_forward(BARS, TRAINING, tmp_path).why


def test_the_code_that_counts_is_that_of_what_was_asked_for() -> None:
    content = TRAINING.content(BARS)
    named = {name for name in content if name.startswith("code of ")}
    wanted = ("models.linear", "features.returns", "features.volatility", "labels", "walkforward", "scaling", "refit")
    assert {f"code of mlcore.{name}" for name in wanted} <= named
    assert not {"code of mlcore.models.tft", "code of mlcore.features.momentum"} & named
    assert {"version of numpy", "version of TA-Lib"} <= set(content)


def test_what_a_model_asks_for_besides_is_in_the_key() -> None:
    asks, given = replace(TRAINING, model="hybrid", features=("rsi",)), replace(TRAINING, features=("rsi",))
    assert asks.content(BARS)["features"] == ["rsi", "log_return"] and given.content(BARS)["features"] == ["rsi"]


def sure_of_all(views: object) -> object:
    """A rule of confidence of the user's own."""
    return views.signal * 0 + 1  # type: ignore[attr-defined]


def test_the_code_of_a_rule_of_confidence_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIDENCES._entries, "sure_of_all", sure_of_all)
    mine = f"code of {__name__}"
    assert mine in replace(TRAINING, confidence="sure_of_all").content(BARS)
    assert mine not in TRAINING.content(BARS)


class Mine(Linear):
    """A model of the user's own."""


def test_the_code_of_members_of_an_ensemble_is_in_the_key() -> None:
    named = replace(TRAINING, model="average", params={"members": ("linear", "tcn:light")}).content(BARS)
    assert {"code of mlcore.models.linear", "code of mlcore.models.tcn"} <= set(named)
    assert "code of mlcore.models.lstm" not in named
    for held in (Average(members=(Linear(), Mine())), Sklearn(Mine())):
        assert f"code of {__name__}" in replace(TRAINING, model=held).content(BARS)


def test_an_entry_that_was_changed_is_refused(tmp_path: Path) -> None:
    entry = tmp_path / cached_walk_forward(BARS, TRAINING, tmp_path).key
    held = (entry / "forecasts.parquet").read_bytes()
    (entry / "forecasts.parquet").write_bytes(held[:-1] + b"x")
    with pytest.raises(StoreError, match=r"`forecasts.parquet` in .* was changed"):
        cached_walk_forward(BARS, TRAINING, tmp_path)
    (entry / "forecasts.parquet").write_bytes(held)
    told = json.loads((entry / "manifest.json").read_text())
    (entry / "manifest.json").write_text(json.dumps({**told, "notes": ["all is well"]}))
    with pytest.raises(StoreError, match=r"`manifest.json` in .* was changed"):
        cached_walk_forward(BARS, TRAINING, tmp_path)


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for training, folder, word in (
        (TRAINING, tmp_path / "file", "`cache` is .* a file"),
        (replace(TRAINING, params={"shrinkag": 1}), tmp_path, "Did you mean 'shrinkage'"),
        (replace(TRAINING, model=Linear(), params={"shrinkag": 1}), tmp_path, "'shrinkag'"),
        (replace(TRAINING, label="directon"), tmp_path, "Did you mean 'direction'"),
        (replace(TRAINING, features=("rsii",)), tmp_path, "Did you mean 'rsi'"),
    ):
        with pytest.raises(BarwiseError, match=word):
            cached_walk_forward(BARS, training, folder)
    with pytest.raises(BarwiseError, match="`kept` is for folds"):
        walk_forward(
            BARS, Linear(), label=direction(BARS), features=table_for(Linear(), BARS, FEATURES),
            folds=TRAINING.folds(), kept=KeptFolds(tmp_path), store=tmp_path / "store",
        )  # fmt: skip


# Walks forward over folds that take their time, so that it can be killed between two of them.
CHILD = """
import sys, time
from mlcore import walkforward
from mlcore.cache import cached_walk_forward
from tests.mlcore.test_cache import BARS, TRAINING
real = walkforward.run_fold
walkforward.run_fold = lambda *args: (time.sleep(0.3), real(*args))[1]
cached_walk_forward(BARS, TRAINING, sys.argv[1])
"""


def test_a_walk_forward_killed_in_the_middle_goes_on_and_writes_the_same_bytes(tmp_path: Path) -> None:
    cache, undisturbed = tmp_path / "cache", tmp_path / "undisturbed"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(cache)], env=environment)
    while len(list(cache.glob("*.folds/fold-*.parquet"))) < 2:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = len(list(cache.glob("*.folds/fold-*.parquet")))
    told: list[tuple[int, int]] = []
    again = cached_walk_forward(BARS, TRAINING, cache, progress=lambda done, total, _: told.append((done, total)))
    assert not again.hit and 2 <= kept < told[0][1]
    assert told[0][0] == kept + 1  # what was kept is not fitted again
    whole = cached_walk_forward(BARS, TRAINING, undisturbed)
    assert again.key == whole.key
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (cache, undisturbed)]
    assert files[0] == files[1]
    for name in files[0]:
        if (cache / name).is_file():
            assert (cache / name).read_bytes() == (undisturbed / name).read_bytes()
