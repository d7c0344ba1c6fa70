"""backtrader: a feed, indicators, a strategy to subclass, a sizer, a broker, analyzers, and the run."""
