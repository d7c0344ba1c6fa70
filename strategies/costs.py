"""What a fill costs, stated once; each engine translates it once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlcore.errors import BarwiseError


@dataclass(frozen=True)
class Costs:
    """Costs of one fill, as fractions: 0.001 is 0.1%.

    commission
        share of the fill's value (size x price with slippage), taken from cash at the fill; in [0, 1).
    slippage
        share of the bar's open by which a buy fills higher and a sale lower, not capped by the bar's
        range; in [0, 1).

    maker
        commission of a fill that waited in the book, as the profit barrier of `RiskRules` does; None: as `commission`,
        which all other fills pay, since they take what is there. In [0, 1).

    >>> Costs(commission=0.001, slippage=0.0005).fill_price(100.0, 1.0)
    100.05
    """

    commission: float = 0.001
    slippage: float = 0.0005
    maker: float | None = None

    def __post_init__(self) -> None:
        for name in ("commission", "slippage", "maker"):
            value = getattr(self, name)
            if name == "maker" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise BarwiseError(f"`{name}` is {value!r}: it must be a number in [0, 1), 0.001 being 0.1%.")
            if not 0 <= value < 1:
                raise BarwiseError(f"`{name}` is {value!r}: it must be in [0, 1); give 0.1% as 0.001.")

    @property
    def resting(self) -> float:
        """The commission of a fill that waited in the book."""
        return self.commission if self.maker is None else self.maker

    def fill_price(self, opened: float, side: float) -> float:
        """Return the price of a fill at a bar that opens at `opened`; `side` > 0 buys."""
        return opened * (1 + self.slippage if side > 0 else 1 - self.slippage)
