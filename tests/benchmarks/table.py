"""Print the ratios of `benchmarks.json` as a table: what was compared, the ratio, the limit, kept or missed.

Every benchmark measures both sides in the same run and leaves `ratio` and `limit` in its
`extra_info`; seconds are shown for orientation and decide nothing. With `--readme FILE` the rows go between the two
marks of the README, too, with those facts only that a benchmark names as `readme` (all, where it names none): a row of
the same name is replaced, a row that this run did not make stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

BEGIN, END = "<!-- ratios: begin -->", "<!-- ratios: end -->"
HEADER = "| compared | ratio | limit | | measured in the same run |"


def rows(path: Path, *, brief: bool = False) -> list[tuple[str, ...]]:
    """Return what was compared, ratio, limit, verdict and the other facts (if `brief`, the README's) of each."""
    found = []
    for benchmark in json.loads(path.read_text())["benchmarks"]:
        facts = dict(benchmark["extra_info"])
        ratio, limit, compared = (facts.pop(name, None) for name in ("ratio", "limit", "compared"))
        wanted = facts.pop("readme", None)
        verdict = "" if ratio is None or limit is None else ("kept" if ratio <= limit else "MISSED")
        kept = facts if wanted is None or not brief else {name: facts[name] for name in wanted}
        told = "; ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in kept.items())
        name = compared or benchmark["name"].removeprefix("test_").replace("_", " ")
        found.append((name, _short(ratio), _short(limit), verdict, told))
    return found


def _short(value: object) -> str:
    if value == float("inf"):
        return "never"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def write_readme(readme: Path, found: list[tuple[str, ...]]) -> None:
    """Put the rows with a ratio into the README's table, sorted by name."""
    before, rest = readme.read_text().split(BEGIN)
    old, after = rest.split(END)
    kept = {line.split(" | ")[0].removeprefix("| "): line for line in old.strip().splitlines()[2:]}
    for name, *rest_of_row in found:
        if rest_of_row[0]:
            kept[name] = "| " + " | ".join([name, *rest_of_row]) + " |"
    table = [HEADER, "|---|---|---|---|---|", *(kept[name] for name in sorted(kept))]
    readme.write_text(before + BEGIN + "\n" + "\n".join(table) + "\n" + END + after)


def main() -> int:
    """Print the table; exit with 1 where a limit was missed."""
    table = Table("compared", "ratio", "limit", "", "measured in the same run", title="Ratios (smaller is better)")
    found = rows(Path(sys.argv[1]))
    if sys.argv[2:3] == ["--readme"]:
        write_readme(Path(sys.argv[3]), rows(Path(sys.argv[1]), brief=True))
    for row in found:
        table.add_row(*row)
    Console(width=160).print(table)
    return int(any(row[3] == "MISSED" for row in found))


if __name__ == "__main__":
    sys.exit(main())
