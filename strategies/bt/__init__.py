"""backtrader: feeds, indicators, strategies to subclass, sizers, a broker, analyzers, observers, and the run."""

from strategies.bt.accounting import CostBreakdown, ExposureStats
from strategies.bt.analyzers import DailyReturns, DailySharpe, DrawDown, EquityCurve, OrderLog, Turnover, add_analyzers
from strategies.bt.broker import NextOpenBroker, set_broker
from strategies.bt.commission import FractionalCommission
from strategies.bt.features import FeatureIndicator, RegimeIndicator
from strategies.bt.feed import BarsFeed
from strategies.bt.indicators import ForecastIndicator
from strategies.bt.observers import Confidence, Exposure, QuantileBand, RetrainMarks
from strategies.bt.replay import ReplayFeed
from strategies.bt.retraining import WalkForwardStrategy, run_retraining
from strategies.bt.run import build_cerebro, run_backtrader
from strategies.bt.settled import ConfidenceBuckets, ForecastQuality
from strategies.bt.sizers import ForecastSizer, WeightSizer
from strategies.bt.strategies import ForecastStrategy
from strategies.bt.writer import ParquetWriter

__all__ = [
    "BarsFeed",
    "Confidence",
    "ConfidenceBuckets",
    "CostBreakdown",
    "DailyReturns",
    "DailySharpe",
    "DrawDown",
    "EquityCurve",
    "Exposure",
    "ExposureStats",
    "FeatureIndicator",
    "ForecastIndicator",
    "ForecastQuality",
    "ForecastSizer",
    "ForecastStrategy",
    "FractionalCommission",
    "NextOpenBroker",
    "OrderLog",
    "ParquetWriter",
    "QuantileBand",
    "RegimeIndicator",
    "ReplayFeed",
    "RetrainMarks",
    "Turnover",
    "WalkForwardStrategy",
    "WeightSizer",
    "add_analyzers",
    "build_cerebro",
    "run_backtrader",
    "run_retraining",
    "set_broker",
]
