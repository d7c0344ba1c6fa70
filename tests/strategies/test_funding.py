"""Funding from a file: rates of the symbols asked for, or one sentence."""

import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.funding import read_funding

STAMPS = pd.date_range("2024", periods=4, freq="8h", tz="UTC")
RATES = pd.DataFrame({"symbol": ["A", "B", "A", "B"], "funding_rate": [0.1, 0.2, 0.3, 0.4]}, STAMPS)


def test_each_symbol_gets_its_own_rates(tmp_path):
    RATES.to_parquet(tmp_path / "f.parquet")
    found = read_funding(tmp_path / "f.parquet", ["B"])
    assert list(found) == ["B"] and found["B"].tolist() == [0.2, 0.4] and list(found["B"].index) == list(STAMPS[1::2])


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        (None, "there is no such file"),
        ("hello", "not readable Parquet"),
        (RATES.rename(columns={"symbol": "symbl"}), "no column 'symbol'. Did you mean 'symbl'"),
        (RATES.reset_index(drop=True), "whose index is no UTC stamps"),
        (RATES[RATES["symbol"] == "A"], "has no rate of 'B'. It has: A."),
    ],
)
def test_what_is_no_such_file_is_told(rates, said, tmp_path):
    path = tmp_path / "f.parquet"
    if isinstance(rates, str):
        path.write_text(rates)
    elif rates is not None:
        rates.to_parquet(path)
    with pytest.raises(BarwiseError, match=said):
        read_funding(path, ["A", "B"])
