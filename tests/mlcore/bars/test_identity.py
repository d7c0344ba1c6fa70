"""Equal bars have equal hashes; anything that differs shows."""

from __future__ import annotations

from mlcore.bars import bars_sha256, read_bars


def test_the_hash_does_not_depend_on_the_file(bars, tmp_path):
    bars.to_parquet(tmp_path / "a.parquet")
    bars.reset_index().to_csv(tmp_path / "a.csv", index=False, float_format="%.17g")
    wanted = bars_sha256(bars)
    assert len(wanted) == 64
    assert bars_sha256(read_bars(tmp_path / "a.parquet")) == bars_sha256(bars.copy()) == wanted
    assert bars_sha256(read_bars(tmp_path / "a.csv")) == wanted


def test_values_stamps_and_names_count(bars):
    wanted = bars_sha256(bars)
    changed = bars.copy()
    changed.iloc[300, 3] *= 1 + 1e-15
    assert bars_sha256(changed) != wanted
    assert bars_sha256(bars.shift(freq="1h")) != wanted
    assert bars_sha256(bars.rename(columns={"volume": "trades"})) != wanted
    assert bars_sha256(bars.iloc[:-1]) != wanted
