"""Did it earn, against what: the sentences follow the numbers."""

from dataclasses import replace
from typing import Any

import pytest

from mlcore.bootstrap import Estimate
from strategies.report.earned import result_body, rivals_body
from strategies.report.numbers import ratios_of
from strategies.sharpe import SharpeRatios
from strategies.study import Study
from tests.strategies.report.reading import tables
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


NUMBERS = {
    "sharpe": 1.5, "max_drawdown": 0.125, "total_return": 0.1, "final_value": 11_000.0, "n_orders": 1234,
    "n_rejected": 5, "commission_paid": 67.8, "slippage_paid": 9.1, "funding_paid": 2.3, "turnover": 45.6,
}  # fmt: skip


def on_paper() -> tuple[Study, SharpeRatios]:
    """Two engines and two rivals, each with numbers of its own."""
    made = {}
    for k, (name, one) in enumerate({**STUDY.results, **STUDY.baselines}.items()):
        made[name] = replace(one, metrics={key: value * (1 + k) for key, value in NUMBERS.items()})
    held = made["buy_and_hold"]
    made["buy_and_hold"] = replace(held, metrics=held.metrics | {"total_return": -0.2})
    values = {name: Estimate(k + 0.5, k - 1.5, k + 1.0) for k, name in enumerate(made)}
    less = {name: Estimate(k + 10.5, k + 10.25, k + 11.0) for k, name in enumerate(made)}
    study = replace(
        STUDY,
        results={name: made[name] for name in STUDY.results},
        baselines={name: made[name] for name in ("buy_and_hold", "flat")},
    )
    return study, SharpeRatios(values, less, 50, 2.0)


def test_every_number_stands_in_its_row_and_in_its_own_column() -> None:
    study, found = on_paper()
    (table,) = tables(result_body(study, found))
    rows = {row[0]: row[1:] for row in table[1:]}
    assert [row[0] for row in table[1:3]] == ["Sharpe ratio, a year", "largest drawdown"]
    assert rows["Sharpe ratio, a year"][:2] == ["1.50 [-1.50, 1.00]", "3.00 [-0.50, 2.00]"]
    assert {name: row[0] for name, row in rows.items() if name != "Sharpe ratio, a year"} == {
        "largest drawdown": "12.50%", "total return": "+10.00%", "final value": "11,000.00", "orders": "1,234",
        "orders rejected": "5", "commission paid": "67.80", "slippage paid": "9.10", "funding paid": "2.30",
        "turnover, x equity": "45.6",
    }  # fmt: skip
    assert rows["total return"] == ["+10.00%", "+20.00%", "-20.00%", f"{0.1 * (1 + NAMES.index('flat')):+.2%}"]
    without = {name: one for name, one in STUDY.results.items()}
    (table,) = tables(result_body(replace(STUDY, results=without), ratios(0.1, 1.0)))
    assert "funding paid" not in [row[0] for row in table]


def test_the_answer_is_of_the_first_engine_against_what_was_held() -> None:
    study, found = on_paper()
    body = result_body(study, found)
    assert "After costs it earned 10.00%; holding the asset made -20.00%. Sharpe ratio 1.50, 95% interval -1.50" in body
    assert "50 days drawn again in blocks of 2.0 on average" in body
    held = replace(study.baselines["buy_and_hold"], metrics=NUMBERS | {"total_return": 0.25})
    rose = replace(study, baselines=study.baselines | {"buy_and_hold": held})
    assert "holding the asset made +25.00%." in result_body(rose, found)
    days = len({stamp.date() for stamp in STUDY.bars.index})
    assert f"Over {days} days with a bar" in body and f"within ±{1.96 * (365 / days) ** 0.5:.2f} before" in body


@pytest.mark.parametrize(
    ("total", "interval", "kind"),
    [(0.1, (0.2, 1.0), "good"), (0.1, (-0.2, 1.0), ""), (-0.1, (-0.2, 1.0), "bad"), (-0.1, (-2.0, -0.3), "bad")],
)
def test_the_answer_is_green_only_beyond_luck(total: float, interval: tuple[float, float], kind: str) -> None:
    assert result_body(earning(total), ratios(*interval)).startswith(f'<p class="{kind}">' if kind else "<p>After")


def test_a_rival_s_row_is_its_return_what_is_above_it_and_the_interval_of_the_difference() -> None:
    study, found = on_paper()
    head, first, *_ = tables(rivals_body(study, found))[0]
    assert head == ["against", "its return", "return above it", "Sharpe ratio above it", "with 95% confidence"]
    assert first[1:] == ["-20.00%", "+30.00%", "+12.50 [+12.25, +13.00]", "better"]


def test_an_account_that_never_moves_is_told() -> None:
    assert "never moves" not in rivals_body(STUDY, ratios(0.1, 1.0))
    one = STUDY.results["vectorbt"]
    still = replace(STUDY, results=STUDY.results | {"vectorbt": replace(one, equity=one.equity * 0 + 10_000.0)})
    assert "The equity of vectorbt never moves: no order was filled." in rivals_body(still, ratios(0.1, 1.0))
