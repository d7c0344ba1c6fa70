"""Did it earn, against what: the sentences follow the numbers."""

from dataclasses import replace
from typing import Any

import pytest

from mlcore.bootstrap import Estimate
from strategies.report.earned import result_body, rivals_body
from strategies.report.numbers import ratios_of
from strategies.sharpe import SharpeRatios
from strategies.study import Study
from tests.strategies.studies import fake_study

STUDY = fake_study(1200)
NAMES = [*STUDY.results, *STUDY.baselines]


def earning(total: float | None) -> Study:
    results = {k: replace(one, metrics=one.metrics | {"total_return": total}) for k, one in STUDY.results.items()}
    return replace(STUDY, results=results)


def ratios(low: float | None, high: float | None) -> SharpeRatios:
    one = Estimate(0.5, low, high)
    return SharpeRatios(dict.fromkeys(NAMES, one), dict.fromkeys(NAMES[1:], one), 50, 2.0)


@pytest.mark.parametrize(
    ("total", "interval", "words"),
    [
        (0.1, (0.2, 1.0), "earned 10.00%; holding the asset made"),
        (0.1, (0.2, 1.0), "beyond what luck of the days explains"),
        (0.1, (-0.2, 1.0), "luck alone could have made this"),
        (-0.1, (-2.0, -0.3), "lost 10.00%"),
        (-0.1, (-2.0, -0.3), "below 0 beyond bad luck"),
        (0.0, (None, None), "made nothing; holding"),
        (None, (None, None), "The account was gone"),
    ],
)
def test_the_answer_follows_the_numbers(total: Any, interval: tuple[Any, Any], words: str) -> None:
    assert words in result_body(earning(total), ratios(*interval))


def test_intervals_stand_below_the_ratios_of_the_engines_and_the_rivals() -> None:
    found = ratios_of(STUDY)
    body = result_body(STUDY, found)
    drawn = [one for one in found.ratios.values() if one.low is not None]
    assert len(drawn) == 5  # flat has none
    for one in drawn:
        assert f'<span class="interval"> [{one.low:.2f}, {one.high:.2f}]</span>' in body
    assert f"{found.days} days drawn again" in body


@pytest.mark.parametrize(
    ("interval", "word"),
    [((0.1, 1.0), "better"), ((-1.0, -0.1), "worse"), ((-1.0, 1.0), "no difference shown"), ((None, None), "unknown")],
)
def test_a_rival_is_beaten_only_with_confidence(interval: tuple[Any, Any], word: str) -> None:
    body = rivals_body(STUDY, ratios(*interval))
    assert body.count(f">{word}</td>") == len(STUDY.baselines)


def test_what_is_earned_above_a_rival_is_the_difference_of_returns() -> None:
    body = rivals_body(earning(0.25), ratios(0.1, 1.0))
    for rival in STUDY.baselines.values():
        assert f"{0.25 - (rival.metrics['total_return'] or 0.0):+.2%}" in body
