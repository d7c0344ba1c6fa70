"""A finished fold comes back from disk as it was."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlcore.forecasts import ReturnScale
from mlcore.refit import Outcome
from mlcore.store.outcomes import KeptFolds

OUTCOME = Outcome(
    number=3,
    raw=np.array([[0.1, np.nan], [1 / 3, 2e-308]]),
    through=np.array([7, 8]),
    scale=ReturnScale(0.1, 1 / 3),
    more={"disagreement": np.array([np.nan, 0.25])},
    curve=[{"epoch": 1.0, "loss": np.nan, "validation": 1 / 7}],
    n_updates=2,
    n_validation=np.int64(5),  # type: ignore[arg-type]
    best_epoch=[np.int64(4)],
    seconds=0.125,
    failure=None,
    warnings=("a", "b"),
    left_out=(np.int64(2),),  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    "outcome",
    [OUTCOME, replace(OUTCOME, scale=None, failure="no rows", more={}, best_epoch=None)],
    ids=["whole", "failed"],
)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome, tmp_path: Path) -> None:
    kept = KeptFolds(tmp_path / "folds")
    assert kept.load(3) is None
    kept.save(outcome)
    assert [path.name for path in kept.folder.iterdir()] == ["fold-0003.parquet"]
    again = kept.load(3)
    assert again is not None
    for field in fields(Outcome):
        one, other = getattr(outcome, field.name), getattr(again, field.name)
        if field.name in ("raw", "through"):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        elif field.name == "more":
            pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other), check_index_type=False)
        else:
            assert repr(one).replace("np.int64(5)", "5").replace("np.int64(4)", "4").replace(
                "np.int64(2)", "2"
            ) == repr(other), field.name
