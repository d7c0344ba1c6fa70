"""vectorbt: an indicator, functions from forecasts or weights to `vbt.Portfolio`, the sweep, and the run."""
