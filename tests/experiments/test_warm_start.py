"""The comparison of warm starts prints one row for each way and model."""

from experiments.warm_start import WAYS


def test_every_way_has_a_row_of_numbers(script) -> None:
    words = ["--models", "lightgbm", "--last", "1100", "--train", "20D", "--test", "5D", "--seeds", "0"]
    rows = [row for row in script("warm_start", *words).rows if row[0] == "lightgbm"]
    assert len(rows) == len(WAYS)
    assert "nan" not in str(rows[1:])
    cold, *others = (row[3] for row in rows)
    assert all(other != cold for other in others)  # each way forecasts something else
