"""A table from a file: rows by UTC stamp, or one sentence that names the setting."""

import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.tables import read_table
from tests.conftest import random_bars


def test_a_table_is_read_as_it_was_written_and_a_folder_is_none(tmp_path):
    bars = random_bars(5)
    bars.to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "b.parquet", "forecasts"), bars, check_freq=False)
    bars.tz_localize(None).to_parquet(tmp_path / "naive.parquet")
    for path, said in ((tmp_path, "which is a folder: name a Parquet file in it"), (tmp_path / "naive.parquet", "UTC")):
        with pytest.raises(BarwiseError, match=f"`forecasts` is .*{said}"):
            read_table(path, "forecasts")
