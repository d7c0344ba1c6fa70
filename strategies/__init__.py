"""The engines: forecasts become weights, fills and results in backtrader and vectorbt."""
