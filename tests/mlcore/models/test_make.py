import inspect

import numpy as np
import pytest

from mlcore.checks.models import INTERVAL, needed_table
from mlcore.errors import BarwiseError
from mlcore.models import MODELS, make_model
from mlcore.models.torch import TorchModel

SIZED = [name for name in sorted(MODELS) if getattr(MODELS[name], "presets", None)]


def count(name, preset, n_features=20):
    """Parameters of the network, on the columns that it asks for."""
    model = make_model(name, preset)
    model.feature_names_in_, table = needed_table(model, np.zeros((300, n_features)))
    model.bar_interval_ = INTERVAL
    return sum(p.numel() for p in model.build(table.shape[1]).parameters())


def test_without_a_preset_it_is_the_model_as_it_comes():
    for name in MODELS:
        assert make_model(name).get_params() == MODELS[name]().get_params()


def test_every_network_has_the_three_presets():
    assert {name for name in MODELS if issubclass(MODELS[name], TorchModel)} <= set(SIZED)
    for name in SIZED:
        assert set(MODELS[name].presets) == {"light", "default", "deep"}


@pytest.mark.parametrize("name", SIZED)
def test_presets_can_be_built_and_grow(name):
    sizes = [count(name, preset) for preset in ("light", "default", "deep")]
    assert sizes == sorted(set(sizes))
    lookbacks = [make_model(name, preset).lookback for preset in ("light", "default", "deep")]
    assert lookbacks == sorted(set(lookbacks))
    assert lookbacks[0] == 20 or hasattr(MODELS[name], "clocks")  # those read longer bars, and more of the short ones
    for preset in MODELS[name].presets:
        make_model(name, preset).plan()


def test_the_presets_that_the_studies_name():
    for name in ("lstm", "gru"):
        light, default = make_model(name, "light"), make_model(name, "default")
        assert (light.width, light.layers, light.lookback) == (32, 1, 20)
        assert (default.width, default.layers) == (128, 2)
    for preset, field in (("default", 61), ("deep", 125)):
        assert make_model("tcn", preset).build(20).receptive_field == field


def test_a_parameter_wins_over_the_preset_and_the_preset_over_the_default():
    model = make_model("lstm", "default", layers=1, seed=3)
    assert (model.width, model.layers, model.seed, model.patience) == (128, 1, 3, 5)
    assert MODELS["lstm"].presets["default"]["layers"] == 2


def test_hidden_is_width():
    assert make_model("gru", hidden=64).width == 64
    with pytest.raises(BarwiseError, match="`width` of 'gru' is set twice"):
        make_model("gru", hidden=64, width=32)


@pytest.mark.parametrize(
    ("name", "preset", "given", "said"),
    [
        ("lsmt", None, {}, "Did you mean 'lstm'"),
        ("lstm", "lihgt", {}, "`preset` is 'lihgt'; 'lstm' has light, default, deep. Did you mean 'light'"),
        ("linear", "light", {}, "'linear' has none"),
        ("lstm", None, {"layer": 2}, "`layer` is no parameter of 'lstm'. Did you mean 'layers'"),
        ("lstm", None, {"hiden": 2}, "`hiden` is no parameter of 'lstm'. Did you mean 'hidden'"),
        ("linear", None, {"hidden": 2}, "`hidden` is no parameter of 'linear'. It has: lookback"),
        ("lstm", None, {"width": "wide"}, "`width` is 'wide'; it must be a whole number"),
        ("lstm", None, {"width": 3.5}, "`width` is 3.5"),
        ("lstm", None, {"width": True}, "`width` is True"),
        ("lstm", None, {"width": None}, "`width` is None"),
        ("lstm", None, {"learning_rate": "fast"}, "`learning_rate` is 'fast'; it must be a number"),
        ("lstm", None, {"dense": 1}, "`dense` is 1; it must be true or false"),
        ("lstm", None, {"device": 3}, "`device` is 3; it must be a word"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(name, preset, given, said):
    with pytest.raises(BarwiseError, match=said):
        make_model(name, preset, **given)


def test_values_of_every_right_kind_are_taken():
    given = {"learning_rate": 1, "dense": False, "threads": None, "device": "cpu", "dropout": 0.5}
    model = make_model("lstm", **given)
    assert {name: getattr(model, name) for name in given} == given
    assert make_model("transformer", feed_forward=64, band=None).feed_forward == 64


def test_a_preset_sets_parameters_that_the_model_has():
    for name in SIZED:
        known = inspect.signature(MODELS[name]).parameters
        assert all(set(preset) <= set(known) for preset in MODELS[name].presets.values())
