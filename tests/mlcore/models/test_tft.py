import numpy as np
import pandas as pd
import pytest
import torch

from mlcore.errors import BarwiseError
from mlcore.features import table_for
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.models import make_model
from mlcore.models.tft import TFT, Layout, TFTNetwork, layout_of
from mlcore.panel import walk_forward_panel
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars
from tests.mlcore.models.sight import bars_that_matter

NUMBER = Task("regression", ("expected_return",))
KNOWN = Layout(observed=(0, 1), known=((2, 3, 4, 5, 6, 7),))  # one variable: the bar's own and 5 ahead


def network(layout=KNOWN, width=8, heads=2, lookback=6, steps=(1, 2, 3, 4, 5), **options):
    with seeded(0):
        net = TFTNetwork(layout, width, heads, lookback, steps, **options).double().eval()
        for p in net.parameters():
            p.data += 0.1 * torch.randn_like(p)  # no zeros left: everything takes part
        return net


def bars(t=20, b=3, f=8):
    return torch.randn(t, b, f, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("width", "heads", "parameters"), [(16, 4, 23953), (64, 4, 355297), (160, 1, 2224513)])
def test_parameter_count_of_the_whole_is_the_papers(width, heads, parameters):
    """METHODS.md 5.3, Google's code: 3 variables of the past, 1 known, 4 symbols, 3 quantiles.

    torch's LSTM has a second bias: ``4 h`` for each of two. One step ahead, so that the head reads one width.
    """
    layout = Layout(observed=(0, 1, 2), known=((3, 4),), symbol=5, symbols=4)
    net = TFTNetwork(layout, width, heads, lookback=25, steps=(1,))
    head = torch.nn.Linear(net.width, 3)
    assert sum(p.numel() for m in (net, head) for p in m.parameters()) == parameters + 2 * 4 * width


def test_a_stretch_gives_what_its_newest_window_gives_when_both_begin_at_one_bar():
    net, x = network(), bars(12)
    assert net(x).shape == (7, 3, 40)
    torch.testing.assert_close(net(x)[:1], net(x[:6]))  # the first row has no more behind it than a window
    _, cells = net.encode(*_encoder_input(net, x))
    for row in range(7):
        past, state, cell = _encoder_input(net, x[: 6 + row])
        _, (_, expected) = net.encoder(past, (state[None], cell[None]))
        torch.testing.assert_close(cells[row], expected[0])


def _encoder_input(net, x):
    selection, _, state, cell = net.static(x)
    return net.select(net.past(x), net.select_past, selection)[0], state, cell


def test_later_bars_change_nothing_of_a_row():
    net, x = network(), bars()
    other = x.clone()
    other[12:] += 3
    before, after = net(x), net(other)  # rows 5 .. 19
    torch.testing.assert_close(after[:7], before[:7], rtol=0, atol=0)
    assert (after[7] - before[7]).abs().min(dim=0).values.max() > 0


def test_a_known_input_of_steps_3_and_4_leaves_steps_0_to_2_alone():
    net, x = network(), bars(6)
    before, _ = net.outlook(x)
    other = x.clone()
    other[-1, :, 6:] += 2  # columns of 4 and 5 bars ahead: steps 3 and 4
    after, _ = net.outlook(other)
    torch.testing.assert_close(after[:, :, :3], before[:, :, :3], rtol=0, atol=0)
    assert (after[:, :, 3:] - before[:, :, 3:]).abs().amax(dim=(0, 1, 3)).min() > 1e-6


def test_what_is_known_ahead_is_read_at_the_newest_bar_only():
    net, x = network(), bars(6)
    other = x.clone()
    other[:-1, :, 3:] += 2  # what older bars knew of what was ahead of them
    torch.testing.assert_close(net(other), net(x), rtol=0, atol=0)
    other[0, :, 2] += 2  # the oldest bar's own clock
    assert (net(other) - net(x)).abs().max() > 1e-6


def test_attention_rows_sum_to_one_and_are_zero_above_the_diagonal():
    net, x = network(), bars()
    _, weights = net.outlook(x)
    shares = weights["attention"]
    assert shares.shape == (15, 3, 2, 5, 11)
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones_like(shares[..., 0]))
    for step in range(5):
        assert shares[..., step, 6 + step + 1 :].abs().sum() == 0
        assert (shares[..., step, : 6 + step + 1] > 0).all()


def test_variable_weights_are_at_least_zero_and_sum_to_one():
    _, weights = network().outlook(9 * bars())
    for name, shape in (("past", (20, 3, 3)), ("ahead", (15, 3, 5, 1))):
        assert weights[name].shape == shape
        assert weights[name].min() >= 0
        torch.testing.assert_close(weights[name].sum(dim=-1), torch.ones(shape[:-1], dtype=torch.float64))


def test_each_static_context_goes_where_it_belongs():
    net, x = network(Layout(observed=(0, 1), known=((2, 3), (4, 5))), steps=(1,)), bars()
    out, weights = net.outlook(x)
    changed = []
    for context in net.contexts:
        bias = context.gate.norm.bias.data
        context.gate.norm.bias.data = bias + 1
        other, others = net.outlook(x)
        context.gate.norm.bias.data = bias
        assert not torch.equal(other, out)
        changed.append([name for name in ("past", "ahead") if not torch.equal(others[name], weights[name])])
    assert changed == [["past", "ahead"], [], [], []]
    past, state, cell = _encoder_input(net, x)
    assert [torch.equal(state, net.static(x)[2]), torch.equal(cell, net.static(x)[3])] == [True, True]
    torch.testing.assert_close(net.encode(past, state, cell)[0], net.encoder(past, (state[None], cell[None]))[0])
    static = net.static(x)
    assert not any(torch.equal(static[i], static[j]) for i in range(4) for j in range(i))


def test_the_symbol_is_an_input_and_an_unknown_one_counts_as_zeros():
    net, x = network(Layout(observed=(0, 1), symbol=2, symbols=3)), bars(6)[..., :3].clone()
    x[..., 2] = 1.0
    out = [net(torch.cat([x[..., :2], torch.full_like(x[..., :1], code)], -1)) for code in (0, 1, 7, -1)]
    torch.testing.assert_close(net(x), out[1])
    assert (out[0] - out[1]).abs().max() > 1e-6
    torch.testing.assert_close(out[2], out[3], rtol=0, atol=0)
    net.symbol.data[1] = 0
    torch.testing.assert_close(net(x), out[2], rtol=0, atol=0)


def test_what_only_the_symbol_tells_is_learnt():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1200, 3)).astype(np.float32)
    values[:600, 2], values[600:, 2] = 0, 1
    rows = np.r_[10:600, 610:1200]
    y = np.where(rows < 600, -0.01, 0.01) + 0.003 * rng.standard_normal(len(rows))
    model = TFT(lookback=8, width=8, heads=2, steps=(1,), epochs=4, learning_rate=1e-2)
    model.feature_names_in_ = ("calendar_ahead_day_sine_0", "calendar_ahead_day_sine_1", "symbol")
    model.fit(Windows(values, rows, 8), y, task=NUMBER)
    said = model.predict(Windows(values, rows, 8))[:, 0]
    assert said[rows < 600].mean() < -0.008
    assert said[rows > 600].mean() > 0.008
    values[:, 2] = -1  # the walk-forward's code of a symbol that was not trained on
    assert abs(model.predict(Windows(values, rows, 8)).mean()) < 0.008


def test_a_pool_of_symbols_is_forecast_by_one_model():
    panel = {"one": random_bars(300, seed=1), "two": random_bars(300, seed=2)}
    run = walk_forward_panel(
        panel,
        TFT(lookback=6, width=8, heads=2, steps=(1, 2), epochs=1),
        label=lambda bars: direction(bars, horizon=2, threshold=0.0),
        folds=WalkForward(train=150, test=60),
        features=("log_return", "high_low_range"),
    )
    assert all(forecasts["signal"].notna().any() for forecasts in run.forecasts.values())
    clock = [f"calendar_ahead_steps(1, 2)_{name}" for name in ("day_sine", "day_cosine", "week_sine", "week_cosine")]
    assert list(run.explanation["variable_weights"].index) == ["log_return", "high_low_range", *clock]


def test_every_horizon_can_have_its_step():
    label = forward_return(random_bars(260, seed=1), (3, 12))
    model = TFT(lookback=6, width=8, heads=2, steps=(3, 12), epochs=1)
    table = table_for(model, random_bars(260, seed=1), ("log_return",))
    run = walk_forward(
        random_bars(260, seed=1), model, label=label, features=table, folds=WalkForward(train=150, test=60)
    )
    assert run.forecasts[["expected_return", "expected_return_h12"]].notna().any().all()
    assert list(run.explanation["attention"].index)[-3:] == [0, -3, -12]


def test_every_step_reads_its_own_columns_of_every_known_variable():
    layout = Layout(observed=(), known=((0, 1, 2, 3), (4, 5, 6, 7)))
    net, x = network(layout, steps=(1, 2, 4)), bars(6)
    told = net.ahead(x)
    assert told.shape == (2, 1, 3, 3, 8)
    for variable in range(2):
        for step in range(3):
            column = x[-1, :, layout.known[variable][step + 1], None]
            embedded = column @ net.embed_known.weight_VIO[variable] + net.embed_known.bias_V1O[variable]
            torch.testing.assert_close(told[variable, 0, :, step], embedded)


def test_without_a_clock_the_decoder_knows_how_far_ahead_its_step_is():
    net = network(Layout(observed=tuple(range(8))))
    steps, _ = net.outlook(bars(6))
    assert (steps[:, :, 1:] - steps[:, :, :-1]).abs().amax(dim=(0, 1, 3)).min() > 1e-6


def test_dropout_is_off_when_predicting():
    net, x = network(dropout=0.5), bars()
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(TFT(lookback=8, width=8, heads=2, epochs=1)) == list(range(8))
    assert bars_that_matter(TFT(lookback=8, width=8, heads=2, epochs=1, dense=False)) == list(range(8))


def test_columns_are_told_apart_by_name():
    names = ["rsi", "calendar_ahead_steps(2, 9)_day_sine_0", "symbol", "roc_window3"]
    names += ["calendar_ahead_steps(2, 9)_day_sine_9", "calendar_ahead_steps(2, 9)_day_sine_2"]
    layout, variables = layout_of(names, steps=(2, 9), symbols=4)
    assert layout == Layout(observed=(0, 3), known=((1, 5, 4),), symbol=2, symbols=4)
    assert variables == ("rsi", "roc_window3", "calendar_ahead_steps(2, 9)_day_sine")
    with pytest.raises(
        BarwiseError, match=r"`features` hold .*not 'calendar_ahead_steps\(2, 9\)_day_sine_3'.*table_for"
    ):
        layout_of(names, steps=(2, 3))


def fitted_on_bars(**options):
    model = TFT(lookback=8, width=8, heads=2, steps=(1, 3), epochs=1, **options)
    table = table_for(model, random_bars(400), ("log_return", "rsi"))
    table["symbol"] = np.where(np.arange(400) < 200, 0.0, 2.0)
    model.feature_names_in_ = tuple(table)
    values = np.ascontiguousarray(table.to_numpy(dtype=np.float32))
    rows = np.arange(60, 400)
    model.fit(Windows(values, rows, 8), values[rows, 0].astype(float), task=NUMBER)
    return model, values


def test_the_table_it_asks_for_gives_it_a_clock_ahead():
    model, _ = fitted_on_bars()
    layout = model.network_.network.layout
    assert len(layout.known) == 4
    assert [len(columns) for columns in layout.known] == [3] * 4
    assert (len(layout.observed), layout.symbols) == (2, 3)


def test_the_store_keeps_which_column_is_what():
    model, values = fitted_on_bars()
    windows = Windows(values, np.arange(100, 150), 8)
    again = TFT(**model.get_params()).set_state(model.get_state())
    assert again.network_.network.layout == model.network_.network.layout
    np.testing.assert_array_equal(again.predict(windows), model.predict(windows))


def test_explain_tells_what_the_forecasts_looked_at():
    model, values = fitted_on_bars()
    told = model.explain(Windows(values, np.arange(100, 300), 8))
    attention, variables = told["attention"], told["variable_weights"]
    assert list(attention.index) == [7, 6, 5, 4, 3, 2, 1, 0, -1, -3]
    assert list(attention) == ["mean", "head_1", "head_2"]
    np.testing.assert_allclose(attention.sum(), 1, atol=1e-6)
    np.testing.assert_allclose(attention[["head_1", "head_2"]].mean(axis=1), attention["mean"])
    assert (attention > 0).all().all()
    assert list(variables.index)[:3] == ["log_return", "rsi", "calendar_ahead_steps(1, 3)_day_sine"]
    np.testing.assert_allclose(variables.sum(), 1, atol=1e-6)
    assert (variables["ahead"] > 0).tolist() == [False, False, True, True, True, True]
    with torch.no_grad():
        x = torch.from_numpy(values[np.arange(100, 300)[:, None] - np.arange(7, -1, -1)]).transpose(0, 1)
        _, weights = model.network_.network.outlook(x)
    np.testing.assert_allclose(variables["past"], weights["past"].mean(dim=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(variables["ahead"][2:], weights["ahead"].mean(dim=(0, 1, 2)), atol=1e-6)
    parts = [model.explain(Windows(values, np.arange(*part), 8))["attention"] for part in ((100, 250), (250, 300))]
    pd.testing.assert_frame_equal(0.75 * parts[0] + 0.25 * parts[1], attention)


def test_explain_refuses_what_predict_refuses():
    model, values = fitted_on_bars()
    with pytest.raises(BarwiseError, match="`lookback` is 8"):
        model.explain(Windows(values, np.array([100]), 9))
    with pytest.raises(BarwiseError, match="`windows` is empty"):
        model.explain(Windows(values, np.array([], dtype=int), 8))


def test_the_variable_that_tells_is_found():
    """The answer is what the first feature was five bars back: most weight goes to that feature."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3000, 4)).astype(np.float32)
    rows = np.arange(60, 3000)
    y = values[rows - 5, 0].astype(float)
    model = TFT(lookback=10, width=16, epochs=8, steps=(1,), dropout=0.0, learning_rate=1e-2)
    model.fit(Windows(values, rows[:2500], 10), y[:2500], task=NUMBER)
    held_out = Windows(values, rows[2500:], 10)
    assert np.corrcoef(model.predict(held_out)[:, 0], y[2500:])[0, 1] > 0.5
    assert model.explain(held_out)["variable_weights"]["past"].idxmax() == "feature 0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": ()}, "`steps` are"),
        ({"steps": (0, 1)}, "`steps` are"),
        ({"steps": (5, 5)}, r"`steps` are \(5, 5\)"),
        ({"width": 18}, "`width` is 18.*`heads` 4"),
    ],
)
def test_what_cannot_be_built_is_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        TFT(**options).build(3)


def test_a_table_without_a_clock_ahead_or_of_other_width_is_refused():
    model = TFT()
    model.feature_names_in_ = ("symbol",)
    with pytest.raises(BarwiseError, match="no 'calendar_ahead'.*table_for"):
        model.build(1)
    model.feature_names_in_ = ("calendar_ahead_day_sine_0",)
    with pytest.raises(BarwiseError, match="1 names for 3 features"):
        model.build(3)


def test_presets_have_the_widths_that_are_written_of():
    widths = [make_model("tft", preset).width for preset in ("light", "default", "deep")]
    assert widths == [16, 64, 160]
