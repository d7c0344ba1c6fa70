"""Is a Sharpe ratio, or the best of many, more than luck? Closed forms; the bootstrap is in `mlcore.bootstrap`.

Everything is PER OBSERVATION: a ratio of daily returns is not annualised, and `n` counts days. Kurtosis is not the
excess over the normal law (which has 3). All of it takes returns for independent, but for `sharpe_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mlcore.errors import BarwiseError

EULER = 0.5772156649015329
FEWEST_RETURNS = 10  # below this a deviation says nothing about its own error


@dataclass(frozen=True)
class Moments:
    """What the formulas read of returns: Sharpe ratio (sample deviation), count, skewness and kurtosis (biased)."""

    sharpe: float
    n: int
    skewness: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: np.ndarray) -> Moments | None:
        """Measure simple returns ``(N,)``; None for fewer than 10, or where they do not vary."""
        returns = np.asarray(returns, dtype=np.float64)
        if len(returns) < FEWEST_RETURNS or not np.isfinite(returns).all() or not _varies(returns):
            return None
        centred = returns - returns.mean()
        spread = math.sqrt(float(np.mean(centred**2)))
        return cls(
            float(returns.mean() / np.std(returns, ddof=1)),
            len(returns),
            float(np.mean(centred**3) / spread**3),
            float(np.mean(centred**4) / spread**4),
        )


def sharpe_error(moments: Moments) -> float:
    """Return the standard error of a Sharpe ratio: sqrt((1 - g3 SR + (g4 - 1)/4 SR^2) / (n - 1)).

    Source: Bailey and Lopez de Prado (2012), the error at the observed ratio.

    >>> sharpe_error(Moments(0.7079, 134, -0.2250, 2.9570))
    0.1028
    """
    sharpe = moments.sharpe
    variance = 1 - moments.skewness * sharpe + (moments.kurtosis - 1) / 4 * sharpe**2
    return math.sqrt(max(variance, 0.0) / (moments.n - 1))


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true ratio is above `benchmark` (PSR, Bailey and Lopez de Prado 2012).

    >>> probabilistic_sharpe(Moments(0.458, 24, -2.448, 10.164))
    0.9134
    """
    error = sharpe_error(moments)
    if error == 0:
        return 0.5 if moments.sharpe == benchmark else float(moments.sharpe > benchmark)
    return float(norm.cdf((moments.sharpe - benchmark) / error))


def shortest_track_record(moments: Moments, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Return the observations at which this ratio would be above `benchmark` with `confidence` (MinTRL).

    Infinite where the ratio is not above the benchmark: no length proves that.
    """
    if moments.sharpe <= benchmark:
        return math.inf
    one = sharpe_error(moments) ** 2 * (moments.n - 1)
    return 1 + one * float(norm.ppf(confidence) / (moments.sharpe - benchmark)) ** 2


def expected_maximum_sharpe(n: int, variance: float) -> float:
    """Return the best Sharpe ratio to expect of `n` independent trials without skill whose ratios vary by `variance`.

    The False Strategy theorem (Bailey, Lopez de Prado 2014); 0 for one trial, where its formula has no value.

    >>> expected_maximum_sharpe(100, 1.0)
    2.5306
    """
    if n <= 1:
        return 0.0
    first, second = norm.ppf(1 - 1 / n), norm.ppf(1 - 1 / (n * math.e))
    return math.sqrt(variance) * float((1 - EULER) * first + EULER * second)


def deflated_sharpe(moments: Moments, variance: float, n_trials: int) -> float:
    """Return the probability that the true ratio is above what the best of `n_trials` without skill would show (DSR).

    `variance` is that of the trials' ratios (sample, ddof 1), per observation like all else. `n_trials` must count
    everything that was tried, kept or not. Conservative: the bar is the mean of the best, not its upper end.

    >>> deflated_sharpe(Moments(2.5 / 250**0.5, 1250, -3.0, 10.0), variance=0.5 / 250, n_trials=100)
    0.9004
    """
    if n_trials < 1:
        raise BarwiseError(f"`n_trials` is {n_trials}; at least 1 was tried.")
    if not variance >= 0:
        raise BarwiseError(f"`variance` is {variance}; a variance is 0 or more.")
    return probabilistic_sharpe(moments, expected_maximum_sharpe(n_trials, variance))


@dataclass(frozen=True)
class SharpeDifference:
    """Two Sharpe ratios held against each other: first minus second, its standard error, and the two-sided p."""

    difference: float
    error: float
    p_value: float


def sharpe_difference(first: np.ndarray, second: np.ndarray) -> SharpeDifference | None:
    """Test two series of returns, paired in time, for equal Sharpe ratios (Ledoit and Wolf 2008).

    The error is by the delta method on means and second moments, robust to heavy tails and to dependence in time
    (Parzen kernel, Andrews' bandwidth from AR(1), factor n / (n - 4)). None for fewer than 10 pairs, or where one side
    does not vary.
    """
    pairs = np.column_stack([first, second]).astype(np.float64)
    n = len(pairs)
    if n < FEWEST_RETURNS or not np.isfinite(pairs).all() or not (_varies(pairs[:, 0]) and _varies(pairs[:, 1])):
        return None
    ratios = pairs.mean(axis=0) / pairs.std(axis=0, ddof=1)
    mean, second_moment = pairs.mean(axis=0), (pairs**2).mean(axis=0)
    cube = (second_moment - mean**2) ** 1.5
    side = np.array([1.0, -1.0])
    gradient = np.r_[side * second_moment / cube, -0.5 * side * mean / cube]
    deviations = np.column_stack([pairs - mean, pairs**2 - second_moment])
    error = math.sqrt(float(gradient @ _long_run_covariance(deviations) @ gradient) / n)
    difference = float(ratios[0] - ratios[1])
    if error == 0:
        return SharpeDifference(difference, 0.0, float(difference == 0))
    return SharpeDifference(difference, error, float(2 * norm.sf(abs(difference) / error)))


def _long_run_covariance(deviations: np.ndarray) -> np.ndarray:
    """``(K, K)`` covariance of sqrt(n) times the mean of `deviations` ``(n, K)``, whose own means are 0."""
    n, k = deviations.shape
    rho, variance = np.transpose([_autoregression(column) for column in deviations.T])
    alpha = np.sum(4 * rho**2 * variance**2 / (1 - rho) ** 8) / np.sum(variance**2 / (1 - rho) ** 4)
    bandwidth = 2.6614 * (alpha * n) ** 0.2
    total = deviations.T @ deviations / n
    for lag in range(1, min(math.ceil(bandwidth), n)):
        part = deviations[lag:].T @ deviations[:-lag] / n
        total += _parzen(lag / bandwidth) * (part + part.T)
    return total * n / (n - k)


def _autoregression(series: np.ndarray) -> tuple[float, float]:
    """Slope and residual variance of each value on the one before, by least squares with an intercept."""
    before, after = series[:-1] - series[:-1].mean(), series[1:] - series[1:].mean()
    size = float(before @ before)
    rho = float(before @ after) / size if size > 0 else 0.0
    rho = min(rho, 0.97)  # Andrews' formula has no value at 1
    return rho, float(np.mean((after - rho * before) ** 2))


def _parzen(x: float) -> float:
    return 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p-values: below 5% in any of them errs in 5% of all families at most, whatever depends.

    A p that is not known (NaN) stays so, and still counts as a test that was made.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")  # NaN last
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1.0)
    return result


def _varies(returns: np.ndarray) -> bool:
    return bool(np.std(returns) > 1e-9 * max(float(np.abs(returns).max()), 1e-300))
