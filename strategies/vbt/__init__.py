"""vectorbt: indicators of the kit's parts, functions from forecasts or weights to `vbt.Portfolio`, sweeps, the run."""

from strategies.vbt.faces import from_feature, from_label, from_sizer
from strategies.vbt.indicators import ForecastSignals, SizedSignals
from strategies.vbt.portfolio import portfolio_from_forecasts, portfolio_from_weights
from strategies.vbt.run import run_vectorbt

__all__ = [
    "ForecastSignals",
    "SizedSignals",
    "from_feature",
    "from_label",
    "from_sizer",
    "portfolio_from_forecasts",
    "portfolio_from_weights",
    "run_vectorbt",
]
