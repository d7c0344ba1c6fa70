import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from mlcore.errors import BarwiseError
from mlcore.features import table_for
from mlcore.models import make_model
from mlcore.models.dual_stream import DualStream, TrendStream
from mlcore.store.state import in_and_out
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter
from tests.mlcore.models.slow_market import FEATURES, found_edge, slow_market

NAMES = ("a", "b", "c", "1h:a", "1h:b", "1h:c")
SMALL = {
    "lookback": 60,
    "epochs": 8,
    "learning_rate": 8e-3,
    "trend_widths": (16, 8),
    "channels": (8, 8),
    "volatility_widths": (8, 8),
}


def told(model, names=NAMES, interval="15min"):
    model.feature_names_in_, model.bar_interval_ = names, pd.Timedelta(interval)
    return model


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def lstm(features, width):
    """METHODS.md 5.2, one layer."""
    return 4 * (width * (features + width) + 2 * width)


@pytest.mark.parametrize("preset", [None, "default"])
def test_its_parts_have_the_sizes_of_the_study(preset):
    network = told(make_model("dual_stream", preset)).build(6)
    assert parameters(network.trend) == lstm(3, 64) + lstm(64, 32)
    assert parameters(network.volatility) == (32 * (3 * 3 + 1) + 16 * (3 * 32 + 1)) + lstm(16, 32) + lstm(32, 16)
    assert parameters(network.head) == (48 * 32 + 32) + (32 * 16 + 16)
    assert parameters(network) == sum(map(parameters, (network.trend, network.volatility, network.head)))
    assert (network.trend.stride, network.trend.steps, network.bars) == (4, 60, 60)


@pytest.mark.parametrize("preset", ["light", "deep"])
def test_other_presets_have_both_streams_and_the_head_of_their_own_widths(preset):
    model = told(make_model("dual_stream", preset))
    network = model.build(6)
    assert parameters(network.trend) == sum(
        lstm(*pair) for pair in zip((3, *model.trend_widths), model.trend_widths, strict=False)
    )
    assert network.trend.steps == min(model.bars, (model.lookback - 1) // 4 + 1)
    assert network.width == model.head_widths[-1]


@pytest.mark.parametrize(("interval", "stride"), [("5min", 12), ("15min", 4), ("20min", 3), ("1h", 1)])
def test_the_stride_is_that_of_the_bars(interval, stride):
    trend = told(DualStream(lookback=120), interval=interval).build(6).trend
    assert trend.stride == stride
    assert trend.steps == min(60, 119 // stride + 1)


@pytest.mark.parametrize("out", [1, 2, 3, 4, 5, 11])
def test_every_bar_of_a_stretch_reads_its_own_strides(out):
    """The trend's state at a bar is that of an LSTM over every fourth row back from it, from a zero state."""
    with seeded(0):
        stream, x = TrendStream([1, 3], (5, 3), 4, 6, 0.0), torch.randn(5 * 4 + out, 2, 4)
    found = stream(x)
    assert len(found) == out
    for back in range(min(out, 4)):  # the other bars have more than six strides behind them
        rows = x[len(x) - out + back - 20 :: 4][:6][:, :, [1, 3]]
        torch.testing.assert_close(found[back], stream.lstm(rows)[-1])
    newest = x[(len(x) - 1) % 4 :: 4][:, :, [1, 3]]
    torch.testing.assert_close(found[-1], stream.lstm(newest)[-1])


def test_each_stream_sees_its_own_bars_of_the_window():
    """Volatility: the newest five bars; trend: every second one, nine bars back at most."""
    model = DualStream(lookback=9, slow="2x", bars=5, head_widths=(8,), epochs=1)
    assert bars_that_matter(told(model, ("a", "2x:a"))) == [0, 1, 2, 3, 4, 6, 8]
    wide = DualStream(lookback=9, slow="2x", bars=9, head_widths=(8,), epochs=1)
    assert bars_that_matter(told(wide, ("a", "2x:a"))) == list(range(9))


def test_it_is_convolutions_lstms_and_dense_layers():
    with seeded(0):
        network, x = told(DualStream(lookback=30, bars=10, channels=(4, 4))).build(6), torch.randn(34, 2, 6)
    c = x[-14:, :, :3].permute(1, 2, 0)
    for conv in network.volatility.convolutions:
        c = F.conv1d(c, conv.v_KCD.permute(2, 1, 0), conv.bias_D).relu()
    volatility = network.volatility.lstm(c.permute(2, 0, 1))[-5:]
    trend = network.trend(x[-(5 + 7 * 4) :])
    h = torch.cat([trend, volatility], dim=-1)
    for linear in network.head[::2]:
        h = linear(h).relu()
    torch.testing.assert_close(network(x), h)
    assert len(h) == 5


def test_it_finds_an_edge_that_only_longer_bars_show():
    """On bars of 4 minutes, of which 15 make an hour; fed the plain columns as hours it finds next to nothing."""
    bars, model = slow_market(interval="4min"), DualStream(**SMALL)
    table = table_for(model, bars, FEATURES)
    fed_plain = table.assign(**{"1h:volume_ma_ratio": table["volume_ma_ratio"]})
    assert found_edge(model, bars, table) > 0.4
    assert model.stride_ == 15
    assert abs(found_edge(DualStream(**SMALL), bars, fed_plain)) < 0.15


def test_what_it_cannot_know_is_refused():
    model = DualStream()
    model.feature_names_in_ = NAMES
    with pytest.raises(BarwiseError, match="nobody told how long a bar is.*slow='4x'"):
        model.build(6)
    with pytest.raises(BarwiseError, match="no whole multiple"):
        told(DualStream(), interval="7min").build(6)
    with pytest.raises(BarwiseError, match="no column of the clock '1h'"):
        told(DualStream(), ("a", "b")).build(2)
    with pytest.raises(BarwiseError, match="told no names"):
        DualStream(slow="4x").build(6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bars": 4}, "`bars` 4.*take 4"),
        ({"lookback": 4}, "`lookback` 4"),
        ({"kernel": 0}, "`kernel`"),
        ({"trend_widths": ()}, "`trend_widths`"),
        ({"channels": ()}, "`channels`"),
        ({"head_widths": ()}, "`head_widths`"),
        ({"volatility_widths": ()}, "`volatility_widths`"),
    ],
)
def test_shapes_that_leave_nothing_are_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        told(DualStream(**options)).build(6)


def test_a_restored_model_knows_its_stride_without_being_told_the_interval():
    model = told(DualStream(lookback=20, epochs=1), interval="30min")
    table = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
    windows = Windows(table, np.arange(19, 300), 20)
    model.fit(windows, table[windows.rows, 0].astype(float), task=Task("regression", ("expected_return",)))
    again = DualStream(lookback=20, epochs=1)
    again.feature_names_in_ = NAMES
    again.set_state(in_and_out(model.get_state()))
    assert again.stride_ == 2
    np.testing.assert_array_equal(again.predict(windows), model.predict(windows))
