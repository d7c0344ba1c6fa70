"""What a paper account is worth after a stop: saved after a bar, put back at that bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlcore.errors import BarwiseError
from mlcore.retraining import StrictWalk
from mlcore.store.files import read_json, write_json
from mlcore.store.state import StoreError

FORMAT = 1
FILE = "state.json"
FITTED = "models"  # folder beside it


class PaperState:
    """The state of a strict run below a folder: ``state.json``, written whole or not at all, models beside it.

    Plain JSON with the hash of itself, safetensors and text: nothing that is read is ever run.

    folder
        where it is kept; one that holds a run is taken up again.
    strategy
        a `ForecastStrategy` on one feed with a paper broker (`set_broker`). walk: what it hears its forecasts from.
    """

    def __init__(self, folder: str | Path, strategy: Any, walk: StrictWalk) -> None:
        self.folder, self.strategy, self.walk = Path(folder), strategy, walk
        self._waiting: dict[str, Any] | None = None
        if (self.folder / FILE).exists():
            self._waiting = read_json(self.folder / FILE)
            if self._waiting.get("format") != FORMAT:
                raise StoreError(f"`{FILE}` in {str(folder)!r} has another format than {FORMAT}, which this kit reads.")
            walk.resume(self._waiting["walk"])
        elif self.folder.exists() and any(path.name != FITTED for path in self.folder.iterdir()):
            raise BarwiseError(f"`state` is {str(folder)!r}, which holds files and no run: give a folder of its own.")
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self) -> None:
        """Write what is known at this bar's close, the order just given included."""
        strategy, broker = self.strategy, self.strategy.broker
        position, order = strategy.position, strategy._last_order
        on_its_way = None
        if order is not None and order.alive():
            on_its_way = {"size": order.created.size, "min_units": float(order.info.get("min_units", 0.0))}
        policy = strategy._policy
        account = {
            "cash": broker.cash,
            "starting_cash": broker.startingcash,
            "size": position.size,
            "price": position.price,
            "last_target": strategy._last_target,
            "order": on_its_way,
        }
        state = {"format": FORMAT, "walk": self.walk.state(), "account": account}
        write_json(self.folder / FILE, state | {"policy": None if policy is None else policy.state})

    def resumes(self, row: int) -> bool:
        """Tell whether bar `row` is one from before the stop; at the last of these the account is put back."""
        if self._waiting is None:
            return False
        if row + 1 == self._waiting["walk"]["bars"]["n"]:
            self._put_back(self._waiting["account"])
            if self.strategy._policy is not None:
                self.strategy._policy.state = self._waiting["policy"]
            self._waiting = None
        return True

    def _put_back(self, account: dict[str, Any]) -> None:
        strategy, broker = self.strategy, self.strategy.broker
        broker.cash, broker.startingcash = account["cash"], account["starting_cash"]
        position = broker.positions[strategy.data]
        position.set(account["size"], account["price"])
        position.datetime = strategy.data.datetime.datetime(0)  # from when on interest would be due
        broker._get_value()  # what `getvalue` tells until the next bar
        strategy._last_target = account["last_target"]
        order = account["order"]
        if order is not None:
            give = strategy.buy if order["size"] > 0 else strategy.sell
            strategy._last_order = give(size=abs(order["size"]), min_units=order["min_units"])
