"""The one-call checks that third parties use run all laws of their kind."""

import dataclasses

import pytest

from mlcore.checks import BrokenLawError, check_feature, check_label, check_model, check_sizer
from mlcore.labels import forward_return
from mlcore.models.linear import Linear


class Silent(Linear):
    def predict(self, windows):
        return super().predict(windows) * 0.0 + 1.0 / self.task_.n_outputs


@pytest.mark.parametrize(
    ("check", "plugin"),
    [
        (check_feature, lambda bars: bars["close"].shift(-1).ffill()),
        (check_label, lambda bars: dataclasses.replace(forward_return(bars), span=99)),
        (check_model, Silent()),
        (check_sizer, lambda forecasts, volatility: -forecasts["signal"]),
    ],
    ids=["feature", "label", "model", "sizer"],
)
def test_a_broken_plugin_is_caught_in_one_call(check, plugin):
    with pytest.raises(BrokenLawError):
        check(plugin)
