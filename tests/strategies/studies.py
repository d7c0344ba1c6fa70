"""Studies made of random numbers: every shape the report and the plots must survive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from strategies.result import METRICS, ORDER_COLUMNS, BacktestResult
from strategies.study import Study
from strategies.trades import round_trips
from tests.conftest import random_bars

OUTPUTS = {
    "direction": ("p_down", "p_flat", "p_up"),
    "five_class": ("p_strong_down", "p_down", "p_flat", "p_up", "p_strong_up"),
    "return": ("expected_return",),
}


def fake_forecasts(bars: pd.DataFrame, n_folds: int, label: str = "direction", seed: int = 0) -> pd.DataFrame:
    """Forecasts with a little skill, a silent stretch, and `n_folds` folds."""
    rng, n = np.random.default_rng(seed), len(bars)
    ahead = np.nan_to_num(np.log(bars["close"].shift(-6) / bars["open"].shift(-1)).to_numpy())
    signal = np.clip(0.2 * np.sign(ahead) * rng.random(n) + rng.normal(0, 0.25, n), -1, 1)
    forecasts = pd.DataFrame({"signal": signal, "confidence": np.abs(signal) ** 1.5}, index=bars.index)
    for name in OUTPUTS[label]:
        forecasts[name] = rng.random(n)
    fold = np.minimum(np.arange(n) * n_folds // n, n_folds - 1)
    start = pd.Series(bars.index, index=bars.index).groupby(fold).transform("first")
    forecasts["disagreement"], forecasts["fold"] = np.nan, fold.astype(np.int64)
    forecasts["trained_through"] = start - pd.Timedelta(hours=6)
    forecasts.iloc[::97, 0] = 0.0
    forecasts.iloc[n // 3 : n // 3 + n // 50, :2] = np.nan
    return forecasts


def fake_result(engine: str, bars: pd.DataFrame, weights: pd.Series, **metrics: Any) -> BacktestResult:
    """A result whose numbers belong together well enough to be drawn: fills at the next open, every tenth partial."""
    held = weights.fillna(0.0).to_numpy()
    change = np.flatnonzero(np.diff(held, prepend=0.0) != 0)
    change = change[change < len(bars) - 1]
    step = bars["close"].pct_change().fillna(0.0).to_numpy() * np.r_[0.0, held[:-1]]
    cost = np.zeros(len(bars))
    cost[change + 1] = 0.0015 * np.abs(np.diff(held, prepend=0.0))[change]
    equity = pd.Series(10_000 * np.cumprod(1 + step - cost), index=bars.index, name=engine)
    price = bars["open"].to_numpy()[change + 1]
    size = np.diff(held[change] * equity.to_numpy()[change] / price, prepend=0.0)
    orders = pd.DataFrame(
        {
            "engine": engine,
            "symbol": "asset",
            "decided": bars.index[change],
            "timestamp": bars.index[change + 1],
            "size": size,
            "price": price,
            "commission": 0.001 * np.abs(size * price),
            "status": np.where(np.arange(len(change)) % 10 == 9, "partial", "filled"),
            "reason": np.where(np.arange(len(change)) % 10 == 9, "cash paid for 99.8% of it", ""),
        },
        columns=ORDER_COLUMNS,
    )
    fall = 1 - equity / equity.cummax()
    found: dict[str, Any] = dict.fromkeys(METRICS)
    found |= {
        "sharpe": 0.8,
        "max_drawdown": float(fall.max()),
        "total_return": float(equity.iloc[-1] / equity.iloc[0] - 1),
        "final_value": float(equity.iloc[-1]),
        "n_orders": len(orders),
        "n_rejected": 0,
        "commission_paid": float(orders["commission"].sum()),
        "slippage_paid": float(orders["commission"].sum() / 2),
        "turnover": float(np.abs(np.diff(held, prepend=0.0)).sum()),
    }
    return BacktestResult(engine, equity, weights, orders, round_trips(orders), found | metrics)


def fake_study(
    n: int = 2000,
    *,
    n_folds: int = 6,
    interval: str = "1h",
    label: str = "direction",
    engines: tuple[str, ...] = ("backtrader", "vectorbt"),
    trades: bool = True,
    undefined: bool = False,
    seed: int = 0,
) -> Study:
    """A `Study` of random bars; `trades` False gives no order at all, `undefined` leaves numbers None."""
    rng = np.random.default_rng(seed)
    bars = random_bars(n, seed=seed, interval=interval, volatility=0.004 if n < 10_000 else 0.001)
    forecasts = fake_forecasts(bars, n_folds, label, seed)
    signal = forecasts["signal"]
    weights = np.sign(signal).where(signal.abs() > ((0.4 if n < 10_000 else 0.7) if trades else 2.0)).ffill(limit=8)
    nothing = {"sharpe": None, "max_drawdown": None} if undefined else {}
    rivals = {
        "buy_and_hold": pd.Series(1.0, index=bars.index),
        "flat": pd.Series(0.0, index=bars.index),
        "shuffled_label": pd.Series(np.sign(rng.normal(size=n)), index=bars.index).where(rng.random(n) < 0.05).ffill(),
        "linear": weights.shift(3).ffill(limit=20),
    }
    quality: dict[str, Any] = {"n": n - 40, "hit_rate": 0.5312, "rank_ic": 0.0421}
    quality["rmse" if label == "return" else "log_loss"] = 1.0712
    quality |= {"precision_at_k": {10: 0.61, 20: 0.584, 50: None if undefined else 0.5512}}
    quality |= {"precision_at_k_overall": {10: 0.7, 20: 0.65, 50: 0.58}, "notes": []}
    return Study(
        title=f"tcn on binance_spot_BTCUSDT_{interval}_2025.parquet",
        bars=bars,
        forecasts=forecasts,
        results={name: fake_result(name, bars, weights, **nothing) for name in engines},
        baselines={name: fake_result("vectorbt", bars, weight) for name, weight in rivals.items()},
        reconciliation={"agrees": True, "max_relative_difference": 3.1e-14, "n_orders": 351}
        if len(engines) == 2
        else None,
        forecast=dict.fromkeys(quality) | {"precision_at_k": None} if undefined else quality,
        folds=_folds(bars, forecasts),
        data={"rows": n + 500, "gaps": 2, "first": bars.index[0].isoformat(), "last": bars.index[-1].isoformat(),
              "sha256": "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea"},
        config={"bars": "binance_spot_BTCUSDT_1h.parquet", "out": "runs/tcn", "model": "tcn", "lookback": None,
                "label": label, "horizon": 5, "threshold": 0.002, "label_entry": "next_open", "train": "60D",
                "test": "7D", "commission": 0.001, "slippage": 0.0005, "days_per_year": 365.0, "sizer": "fixed",
                "sizer_params": {"size": 1.0}},
        versions={"python": "3.11.9", "numpy": "2.4.6", "backtrader": "1.9.78.123", "vectorbt": "1.2.0"},
        seed=7,
        seconds=412.7,
        notes=("12 bars are missing in 2 places; the longest gap is 9 bars.", "3 bars have zero volume."),
    )  # fmt: skip


def _folds(bars: pd.DataFrame, forecasts: pd.DataFrame) -> list[dict[str, Any]]:
    folds = []
    for number, rows in forecasts.groupby("fold"):
        start, end = rows.index[0], rows.index[-1]
        through = rows["trained_through"].iloc[0]
        trained = {"train_start": through - pd.Timedelta(days=60), "trained_through": through, "n_train": 1400}
        tested = {"test_start": start, "test_end": end, "n_test": len(rows), "seconds": 12.3}
        folds.append({"fold": int(str(number)), **trained, **tested})
    return folds
