"""Retraining under a clock: by the calendar, when forecasts decayed, when inputs drifted, by any rule."""

from mlcore.retraining.clock import CALENDAR, Retrain, Said
from mlcore.retraining.drift import Drifted
from mlcore.retraining.rules import Decayed, Rule, Standing
from mlcore.retraining.strict import StrictWalk
from mlcore.retraining.walk import RetrainedWalk

__all__ = ["CALENDAR", "Decayed", "Drifted", "Retrain", "RetrainedWalk", "Rule", "Said", "Standing", "StrictWalk"]
