"""vectorbt: an indicator, functions from forecasts or weights to `vbt.Portfolio`, the sweep, and the run."""

from strategies.vbt.indicators import ForecastSignals
from strategies.vbt.portfolio import portfolio_from_forecasts, portfolio_from_weights
from strategies.vbt.run import run_vectorbt

__all__ = ["ForecastSignals", "portfolio_from_forecasts", "portfolio_from_weights", "run_vectorbt"]
