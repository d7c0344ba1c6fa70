import numpy as np
import pytest
import torch
from arch import arch_model

from mlcore.errors import BarwiseError
from mlcore.models.garch_lstm import ConditionalVolatility, Garch, GarchLSTM, fit_garch, window_bars
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter

NAMES = ("rsi", "log_return")
NUMBER = Task("regression", ("expected_return",))


def clustered(n: int = 3_000, seed: int = 0) -> np.ndarray:
    """Returns of a GARCH(1,1) with alpha .1, beta .85 and variance 1, scaled to percent of a percent."""
    noise = np.random.default_rng(seed).standard_normal(n)
    made, variance = np.empty(n), 1.0
    for t in range(n):
        made[t] = noise[t] * variance**0.5
        variance = 0.05 + 0.1 * made[t] ** 2 + 0.85 * variance
    return 0.01 * made + 0.001


def fitted(table, rows=None, names=NAMES, **options):
    model = GarchLSTM(lookback=20, width=8, epochs=1, **options)
    model.feature_names_in_ = names
    rows = np.arange(19, 1_000) if rows is None else rows
    return model.fit(Windows(table, rows, 20), table[rows, 0].astype(float), task=NUMBER)


@pytest.fixture(scope="module")
def table():
    other = np.random.default_rng(1).standard_normal(3_000)
    return np.stack([other, 100 * clustered()], axis=1).astype(np.float32)


def test_the_parameters_are_found_again_whatever_the_unit():
    returns = clustered(20_000)
    garch = fit_garch(returns)
    assert garch.alpha == pytest.approx(0.1, abs=0.02)
    assert garch.beta == pytest.approx(0.85, abs=0.03)
    assert garch.mu == pytest.approx(0.001, abs=2e-4)
    assert garch.omega / (1 - garch.alpha - garch.beta) == pytest.approx(1e-4, rel=0.1)
    assert garch.start == pytest.approx(returns.var())
    large = fit_garch(1e4 * returns)
    assert (large.alpha, large.beta) == pytest.approx((garch.alpha, garch.beta), rel=1e-6)
    assert (large.omega, large.mu) == pytest.approx((1e8 * garch.omega, 1e4 * garch.mu), rel=1e-6)


def test_on_a_long_window_it_is_the_conditional_volatility_of_arch():
    """`arch` gives the deviation of bar t told at t - 1; here it stands at the bar whose close tells it."""
    returns = clustered(1_000)
    known = arch_model(100 * returns, mean="Constant", vol="GARCH", p=1, q=1, rescale=False).fit(disp="off")
    garch = fit_garch(returns)
    with torch.no_grad():
        made = ConditionalVolatility(garch)(torch.from_numpy(returns)[:, None])[:, 0].exp().numpy() * garch.start**0.5
    theirs = known.conditional_volatility / 100
    np.testing.assert_allclose(made[300:-1], theirs[301:], rtol=1e-4)
    ahead = known.forecast(horizon=1).variance.iloc[-1, 0] ** 0.5 / 100
    assert made[-1] == pytest.approx(ahead, rel=1e-4)


def test_it_is_the_recursion_bar_by_bar():
    garch, r = Garch(0.1, 0.2, 0.15, 0.8, 1.7), torch.randn(50, 3, dtype=torch.float64)
    variance, expected = torch.full((3,), 1.7, dtype=torch.float64), []
    for r_B in r:
        variance = 0.2 + 0.15 * (r_B - 0.1) ** 2 + 0.8 * variance
        expected.append(0.5 * (variance / 1.7).log())
    torch.testing.assert_close(ConditionalVolatility(garch)(r), torch.stack(expected))


@pytest.mark.parametrize("garch", [Garch(0.0, 0.0, 0.0, 0.0, 1.0), Garch(0.0, 0.0, 0.2, 0.8, 1.0)])
def test_a_variance_at_the_edge_stays_finite(garch):
    out = ConditionalVolatility(garch)(torch.zeros(400, 2))
    assert out.isfinite().all()


def test_parameter_count_is_that_of_an_lstm_on_one_feature_more():
    model = GarchLSTM(width=64)
    model.feature_names_in_ = NAMES
    network = model.build(2)
    assert sum(p.numel() for p in network.parameters()) == 4 * (64 * (2 + 1 + 64) + 2 * 64)


def test_the_lstm_reads_the_features_and_the_volatility(table):
    network = fitted(table).network_.network
    with seeded(0):
        x = torch.randn(30, 2, 2)
    volatility = network.volatility(x[:, :, 1])
    expected = network.layers(torch.cat([x, volatility[:, :, None]], dim=-1))[0]
    torch.testing.assert_close(network(x), expected)


def test_only_training_bars_make_the_garch(table):
    """Not the bars after the last training row, not those of no window, not the validation rows."""
    rows = np.r_[19:500, 700:1_000]
    model = fitted(table, rows)
    other = table.copy()
    other[np.r_[500:681, 1_000:3_000], 1] *= 30.0
    assert fitted(other, rows).garch_ == model.garch_
    windows, held_out = Windows(other, rows, 20), Windows(other, np.arange(1_100, 1_300), 20)
    judged = GarchLSTM(lookback=20, width=8, epochs=1)
    judged.feature_names_in_ = NAMES
    judged.fit(windows, table[rows, 0].astype(float), task=NUMBER, validation=(held_out, np.zeros(200)))
    assert judged.garch_ == model.garch_
    other[480, 1] *= 30.0
    assert fitted(other, rows).garch_ != model.garch_


def test_bars_of_windows_are_counted_once():
    assert window_bars(Windows(np.empty((30, 1)), np.array([4, 20, 6, 5, 5]), 3)).tolist() == [
        2,
        3,
        4,
        5,
        6,
        18,
        19,
        20,
    ]


def test_later_bars_change_no_forecast(table):
    model, rows = fitted(table), np.arange(1_000, 1_400)
    before = model.predict(Windows(table, rows, 20))
    for cut in (1_001, 1_010, 1_399):
        raw = model.predict(Windows(table[:cut], rows[rows < cut], 20))
        np.testing.assert_array_equal(raw, before[rows < cut])


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    model = GarchLSTM(lookback=8, width=8, epochs=1)
    model.feature_names_in_ = NAMES
    assert bars_that_matter(model) == list(range(8))


def test_the_state_holds_the_garch(table):
    model = fitted(table)
    again = GarchLSTM(lookback=20, width=8, epochs=1)
    again.feature_names_in_ = NAMES
    again.set_state(model.get_state())
    assert again.garch_ == model.garch_ == again.network_.network.volatility.garch


def test_a_table_without_the_return_is_refused(table):
    with pytest.raises(BarwiseError, match="no column 'log_return'.*table_for"):
        fitted(table, names=("rsi", "roc"))
    with pytest.raises(BarwiseError, match="told no names"):
        fitted(table, names=())
    still = table.copy()
    still[:, 1] = 0.1
    with pytest.raises(BarwiseError, match="no volatility"):
        fitted(still)
