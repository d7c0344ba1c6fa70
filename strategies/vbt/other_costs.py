"""The same decisions at other costs, and carried out later: what the report says of a run that was made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from mlcore.errors import BarwiseError
from strategies.costs import Costs
from strategies.orders import checked_weights, order_targets
from strategies.vbt.accounts import Accounts, Orders

DELAYS = (0, 1, 2, 5)
COMMISSIONS, SLIPPAGES = (0.0, 0.5, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0, 4.0)  # times the own costs
UNIT = 0.0005  # stands for own costs of nothing, whose multiples are nothing


def trade_at_costs(
    bars: pd.DataFrame,
    weights: pd.Series,
    costs: Costs,
    *,
    commissions: Sequence[float] | None = None,
    slippages: Sequence[float] | None = None,
    delays: Sequence[int] = DELAYS,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
) -> pd.DataFrame:
    """Trade `weights` at every commission x slippage x delay; return one row each: those three, then `MEASURED`.

    A delay of d bars carries out at the close of bar t what was decided at the close of bar t - d, so it fills at the
    open of bar t + 1; the first d bars are flat. The row of delay 0 and `costs` is the run of `run_vectorbt`, to 1e-9.
    `commissions` and `slippages` are fractions; None: multiples of those of `costs`, 0 and the own ones among them.
    """
    checked_weights(weights, bars)
    for delay in delays:
        if isinstance(delay, bool) or delay != int(delay) or delay < 0:
            raise BarwiseError(f"`delays` holds {delay!r}: a delay is a count of bars, 0 or more.")
    fees = _around(costs.commission, COMMISSIONS) if commissions is None else commissions
    slips = _around(costs.slippage, SLIPPAGES) if slippages is None else slippages
    decided = Orders.of(order_targets(weights))
    delayed = {delay: decided.late(int(delay), len(weights)) for delay in delays}
    cells = list(itertools.product(delays, fees, slips))
    orders = [delayed[delay] for delay, *_ in cells]
    found = Accounts(bars, cash, days_per_year).trade(orders, [Costs(fee, slip) for _, fee, slip in cells])
    return pd.concat([pd.DataFrame(cells, columns=["delay", "commission", "slippage"]), found], axis=1)


def _around(own: float, multiples: Sequence[float]) -> list[float]:
    """Return multiples of the own costs that a fill can have; of costs of nothing, multiples of 0.05%.

    >>> _around(0.001, (0.0, 1.0, 2.0)), _around(0.0, (0.0, 1.0, 2.0))
    ([0.0, 0.001, 0.002], [0.0, 0.0005, 0.001])
    """
    unit = own or UNIT
    return [unit * times for times in multiples if unit * times < 1]
