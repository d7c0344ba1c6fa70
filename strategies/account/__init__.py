"""An account with a path: many symbols, barriers, risk limits, funding; written once, called by both engines."""

from strategies.account.market import clock_of
from strategies.account.plan import AccountPlan, plan_account
from strategies.account.rules import RiskRules

__all__ = ["AccountPlan", "RiskRules", "clock_of", "plan_account"]
