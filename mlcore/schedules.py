"""How the learning rate goes over the steps of a fit, as a share of the rate that was asked for."""

from __future__ import annotations

import math

from mlcore.errors import BarwiseError, did_you_mean

SCHEDULES = ("one_cycle", "cosine_restarts", "plateau", "constant")


def one_cycle(step: int, steps: int, warm_up: float = 0.1) -> float:
    """Return the share of the top learning rate: up in a line, down in a half cosine (Smith 2018)."""
    rise = max(1, int(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


def cosine_restarts(step: int, steps: int, cycles: int = 3) -> float:
    """Return the share of the learning rate: half cosines, each twice as long as the one before.

    SGDR of Loshchilov and Hutter (2017, arXiv 1608.03983, equation 5 with ``T_mult = 2``); the first cycle is as
    long as makes the last one end with the last step, where the rate is lowest.

    >>> [round(cosine_restarts(step, 7), 2) for step in range(7)]
    [1.0, 1.0, 0.5, 1.0, 0.85, 0.5, 0.15]
    """
    first = steps / (2**cycles - 1)
    cycle = 0
    while cycle < cycles - 1 and step >= first * (2 ** (cycle + 1) - 1):
        cycle += 1
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - first * (2**cycle - 1)) / (first * 2**cycle))))


class Schedule:
    """The rate of one fit by name: asked for a share at every step, and told every validation loss.

    Parameters
    ----------
    name : ``one_cycle``, ``cosine_restarts``, ``plateau`` (times `factor` after more than `after` checks in a row
        without a better validation loss) or ``constant``.
    steps : optimiser steps of the whole fit. warm_up : share of them in which ``one_cycle`` rises.
    cycles : of ``cosine_restarts``.
    """

    def __init__(
        self, name: str, steps: int, *, warm_up: float = 0.1, cycles: int = 3, factor: float = 0.5, after: int = 1
    ) -> None:
        check_schedule(name)
        self.name, self.steps, self.warm_up, self.cycles = name, steps, warm_up, cycles
        self.factor, self.after = factor, after
        self.lowest, self.since, self.reduced = math.inf, 0, 1.0

    def share(self, step: int) -> float:
        """Return the share of the learning rate at `step`, from 0; past `steps` it stays as low as at the end."""
        if self.name == "one_cycle":
            return one_cycle(step, self.steps, self.warm_up)
        if self.name == "cosine_restarts":
            return cosine_restarts(step, self.steps, self.cycles)
        return self.reduced

    def see(self, loss: float) -> None:
        """Take note of a validation loss; only ``plateau`` makes use of it."""
        self.since = 0 if loss < self.lowest else self.since + 1
        self.lowest = min(self.lowest, loss)
        if self.name == "plateau" and self.since > self.after:
            self.reduced, self.since = self.reduced * self.factor, 0


def check_schedule(name: str) -> None:
    """Refuse a schedule that is not there."""
    if name not in SCHEDULES:
        raise BarwiseError(f"`schedule` is {name!r}; it must be one of {SCHEDULES}.{did_you_mean(name, SCHEDULES)}")
