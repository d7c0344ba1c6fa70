"""backtrader: a feed, indicators, a strategy to subclass, a sizer, a broker, analyzers, and the run."""

from strategies.bt.analyzers import DailyReturns, DailySharpe, DrawDown, EquityCurve, OrderLog, Turnover, add_analyzers
from strategies.bt.broker import NextOpenBroker, set_broker
from strategies.bt.commission import FractionalCommission
from strategies.bt.feed import BarsFeed
from strategies.bt.indicators import ForecastIndicator
from strategies.bt.observers import Exposure
from strategies.bt.replay import ReplayFeed
from strategies.bt.retraining import WalkForwardStrategy, run_retraining
from strategies.bt.run import build_cerebro, run_backtrader
from strategies.bt.sizers import WeightSizer
from strategies.bt.strategies import ForecastStrategy

__all__ = [
    "BarsFeed",
    "DailyReturns",
    "DailySharpe",
    "DrawDown",
    "EquityCurve",
    "Exposure",
    "ForecastIndicator",
    "ForecastStrategy",
    "FractionalCommission",
    "NextOpenBroker",
    "OrderLog",
    "ReplayFeed",
    "Turnover",
    "WalkForwardStrategy",
    "WeightSizer",
    "add_analyzers",
    "build_cerebro",
    "run_backtrader",
    "run_retraining",
    "set_broker",
]
