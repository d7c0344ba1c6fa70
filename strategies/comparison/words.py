"""What a comparison says, in sentences: nothing is called better that the corrected test does not call so."""

from __future__ import annotations

from strategies.comparison.run import Comparison
from strategies.comparison.trading import HELD
from strategies.report.figures import words_of

LOSS_WORDS = {"log_loss": "log loss", "squared_error": "squared error", "pinball": "pinball loss"}


def verdicts(found: Comparison) -> list[str]:
    """Return the findings, one sentence a baseline and one for the money."""
    tried = f"{found.tried} model{'s were' if found.tried != 1 else ' was'} tried"
    failed = [name for name, one in found.entrants.items() if one.failure]
    missing = f"; {len(failed)} failed ({', '.join(failed)})" if failed else ""
    said = [f"{tried}{missing}. Forecasts are judged by their {LOSS_WORDS[found.loss]}, over the same rows."]
    for rival, test in found.judged.superiority.items():
        of = f"corrected for all that were tried (SPA p = {test.p_value:.3f})"
        if test.better:
            names = ", ".join(words_of(name) for name in test.better)
            said.append(f"Better than {words_of(rival)} at 5%, {of}: {names}.")
        else:
            said.append(f"No model is better than {words_of(rival)} at 5%, {of}.")
    return [*said, *_money(found)]


def _money(found: Comparison) -> list[str]:
    said = []
    rivals = {name: one for name, one in found.accounts.items() if name not in (HELD, "shuffled_label")}
    gone = [name for name in rivals if rivals[name].sharpe.value is None]
    if gone:
        said.append(f"After costs, without a Sharpe ratio (account gone, or never traded): {', '.join(gone)}.")
    known = {name: one for name, one in rivals.items() if one.sharpe.value is not None}
    if known:
        best = max(known, key=lambda name: known[name].sharpe.value or 0.0)
        dsr = known[best].dsr
        said.append(
            f"The highest net Sharpe ratio is {words_of(best)}'s, {known[best].sharpe.value:.2f} a year; the chance "
            f"that it is above what the best of {found.tried} without skill would show is "
            f"{'undefined' if dsr is None else f'{dsr:.1%}'} (deflated Sharpe)."
        )
    sure = [
        f"{words_of(name)} ({'higher' if (known[name].versus[HELD].value or 0) > 0 else 'LOWER'})"
        for name in known
        if (known[name].p_held_corrected or 1.0) < 0.05 and HELD in known[name].versus
    ]
    said.append(
        f"Net Sharpe ratio different from buy and hold's at 5% (Ledoit-Wolf, Holm over all tried): "
        f"{', '.join(sure) if sure else 'none'}."
    )
    if not found.agrees:
        apart = [name for name, gap in found.reconciled.items() if isinstance(gap, str)]
        said.append(f"NOT reconciled, the engines differ: {', '.join(apart)}. Their accounts are left out.")
    return said
