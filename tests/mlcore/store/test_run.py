import dataclasses
import json
import pickle
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from mlcore.bars import bars_sha256
from mlcore.checks.models import SMALL, shrink
from mlcore.errors import BarwiseError, BarwiseWarning, LookAheadError
from mlcore.features import DEFAULT_FEATURES, feature_table, table_for
from mlcore.folds import WalkForward
from mlcore.forecasts import check_forecasts
from mlcore.labels import direction, forward_return
from mlcore.models import MODELS
from mlcore.models.linear import Linear
from mlcore.store import StoreError, forecast_from_store, load_fold, save_fold
from mlcore.store.files import read_json, sha256, to_json, write_folder, write_json
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

BARS = random_bars(520, seed=5)
RECIPES = ["close_pct_change", ("volatility", {"window": 10}), "rsi", "log_return"]
FEATURES = feature_table(BARS, RECIPES)
LABELS = {"classes": direction(BARS, horizon=2, threshold=0.005), "returns": forward_return(BARS, 2)}
FOLDS = WalkForward(train=300, test=90)


def walked(store=None, model=None, label=LABELS["returns"], **options):
    return walk_forward(BARS, model or Linear(), label=label, features=FEATURES, folds=FOLDS, store=store, **options)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "store"
    return folder, walked(folder)


@pytest.fixture
def copy(kept, tmp_path):
    """A store to break."""
    return shutil.copytree(kept[0], tmp_path / "store")


@pytest.fixture
def fold(copy):
    """The first fold's folder, to break."""
    return next(copy.glob("fold-0000-*"))


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_forecasts_again_from_the_store_bit_for_bit(name, label, tmp_path):
    model = shrink(MODELS[name](), SMALL | {"epochs": 1, "n_estimators": 8})
    bars = random_bars(600, interval="15min", seed=8)
    features, store = table_for(model, bars, RECIPES), tmp_path / "store"
    run = walk_forward(bars, model, label=type_of(label, bars), features=features, folds=FOLDS, store=store)
    again = forecast_from_store(store, bars, features)
    pd.testing.assert_frame_equal(again, run.forecasts, check_exact=True, check_freq=False)
    assert again["signal"].notna().all()


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_wide_tables_and_long_blocks_too(name, label, tmp_path):
    """Sums of many terms over many rows, where the layout of the weights shows in the last bit."""
    model = shrink(MODELS[name](), {"epochs": 1, "n_estimators": 1})
    bars = random_bars(3_000, interval="15min", seed=8)
    recipes = RECIPES if getattr(model, "clocks", ()) else DEFAULT_FEATURES  # an EMA of 200 longer bars takes too many
    features, label = table_for(model, bars, recipes), type_of(label, bars)
    store, folds = tmp_path / "store", WalkForward(train=1_500, test=900)
    run = walk_forward(bars, model, label=label, features=features, folds=folds, store=store)
    again = forecast_from_store(store, bars, features)
    pd.testing.assert_frame_equal(again, run.forecasts, check_exact=True, check_freq=False)


def type_of(label, bars):
    return direction(bars) if label.task.kind == "classes" else forward_return(bars)


def test_a_store_changes_nothing_and_two_jobs_write_the_same_bytes(kept, tmp_path):
    pd.testing.assert_frame_equal(walked().forecasts, kept[1].forecasts, check_exact=True)
    walked(tmp_path / "two", n_jobs=2)
    assert tree(tmp_path / "two") == tree(kept[0])
    assert not [name for name in tree(kept[0]) if name.startswith(".")]


def test_bars_after_the_cut_change_nothing_that_is_stored_of_an_earlier_fold(kept, tmp_path):
    cut = BARS.index.get_loc(kept[1].folds[1]["test_start"])
    label = forward_return(BARS[:cut], 2)
    walk_forward(BARS[:cut], Linear(), label=label, features=FEATURES[:cut], folds=FOLDS, store=tmp_path / "cut")
    first = next((tmp_path / "cut").glob("fold-0000-*"))
    assert (kept[0] / first.name).is_dir()


def test_the_manifest_says_where_a_fold_comes_from(kept):
    folder, run = kept
    record = json.loads((folder / run.folds[1]["stored"] / "manifest.json").read_text())
    row = run.folds[1]
    assert record["model"] == "linear"
    assert record["features"] == list(FEATURES.columns)
    assert (pd.Timedelta(record["interval"]), record["symbol"]) == (pd.Timedelta("1h"), None)
    assert record["label"] == {"recipe": "return(horizon=2, entry='next_open')", "span": 3}
    for name in ("train_start", "trained_through", "test_start"):
        assert record[name] == row[name].isoformat()
    first = BARS.index.get_loc(row["train_start"]) - FEATURES.attrs["memory"]
    assert record["bars_sha256"] == bars_sha256(BARS.iloc[first:].loc[: row["trained_through"]])
    assert record["versions"]["numpy"] == np.__version__
    assert {"python", "torch", "lightgbm", "scikit-learn"} <= set(record["versions"])
    assert record["return_scale"]["spread"] > 0
    assert record["params"]["seed"] != record["seed"] == 0


def test_longer_bars_are_forecast_by_the_newest_fold(kept):
    longer = random_bars(560, seed=5)
    longer.iloc[:520] = BARS
    features = feature_table(longer, RECIPES)
    again = forecast_from_store(kept[0], longer, features)
    assert again.index[-1] == longer.index[-1]
    assert again["fold"].iloc[-1] == len(kept[1].folds) - 1
    old = again.loc[: BARS.index[-1]]
    np.testing.assert_allclose(old["signal"], kept[1].forecasts["signal"], rtol=1e-12)


def test_one_fold_forecasts_what_comes_after_its_training_only(kept):
    folder, run = kept
    fold = folder / run.folds[0]["stored"]
    through = run.folds[0]["trained_through"]
    with pytest.raises(LookAheadError, match="`in_sample`; the flag `--in-sample`"):
        forecast_from_store(fold, BARS, FEATURES)
    with pytest.raises(LookAheadError, match="trained through"):
        forecast_from_store(fold, BARS, FEATURES, start=through)  # its bar was in a training label
    after = forecast_from_store(fold, BARS, FEATURES, start=run.folds[0]["test_start"])
    check_forecasts(after, BARS)
    block = run.forecasts[run.forecasts["fold"] == 0]
    np.testing.assert_allclose(after.loc[block.index, "signal"], block["signal"], rtol=1e-12)


def test_in_sample_is_had_by_name_and_an_engine_still_refuses_it(kept):
    fold = kept[0] / kept[1].folds[0]["stored"]
    inside = forecast_from_store(fold, BARS, FEATURES, in_sample=True)
    assert len(inside) == len(BARS)
    with pytest.raises(LookAheadError):
        check_forecasts(inside, BARS)
    check_forecasts(inside, BARS, in_sample=True)


@pytest.mark.parametrize("file", ["manifest.json", "model.safetensors", "scaler.safetensors"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "missing", "link"])
def test_each_file_of_a_fold_that_was_tampered_with_is_refused(fold, file, how):
    path = fold / file
    held = path.read_bytes()
    if how == "flip":
        path.write_bytes(held[:-9] + bytes([held[-9] ^ 1]) + held[-8:])
    elif how == "cut":
        path.write_bytes(held[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    else:
        path.rename(fold.parent / "elsewhere")
        path.symlink_to(fold.parent / "elsewhere")
    with pytest.raises(StoreError) as refused:
        load_fold(fold)
    assert refused.value.exit_code == 2
    assert file in str(refused.value) or fold.name in str(refused.value)


def rewritten(fold, change, files=None):
    """The fold with another manifest, stored as the kit itself would have stored it."""
    manifest = json.loads((fold / "manifest.json").read_text())
    listed = manifest.pop("files")
    held = {name: (fold / name).read_bytes() for name in listed} | (files or {})
    change(manifest)
    return write_folder(fold.parent, "fold-0000", manifest, held)


class Evil:
    def __reduce__(self):
        return exec, ("import sys; sys.evil = True",)


def test_a_pickle_with_hashes_that_fit_is_not_run(fold):
    for name in ("model.safetensors", "scaler.safetensors"):
        foreign = rewritten(fold, lambda manifest: None, {name: pickle.dumps(Evil())})
        with pytest.raises(StoreError, match="is no safetensors file"):
            load_fold(foreign)
    assert not hasattr(sys, "evil")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(model="os.system"), "os.system"),
        (lambda m: m.update(format=2), "this kit reads 1"),
        (lambda m: m.pop("trained_through"), "trained_through"),
        (lambda m: m["params"].update(shell="rm"), "shell"),
        (lambda m: m["state"].pop("task"), "task"),
        (lambda m: m.update(features=["a"]), "for 1 features"),
        (lambda m: m.update(scaler="1"), "does not hold a model"),
    ],
)
def test_a_foreign_manifest_is_refused_with_the_reason(fold, change, said):
    with pytest.raises(StoreError, match=said):
        load_fold(rewritten(fold, change))


@pytest.mark.parametrize("name", ["../run.json", "/etc/hostname", "a/b.txt", ".hidden.txt", "x.py"])
def test_a_manifest_that_names_a_path_is_refused(fold, name):
    manifest = json.loads((fold / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0", "bytes": 1}
    held = to_json(manifest)
    (fold / "manifest.json").write_bytes(held)
    moved = fold.rename(fold.parent / f"fold-0000-{sha256(held)[:32]}")
    with pytest.raises(StoreError, match="names the file"):
        load_fold(moved)


def test_a_run_that_names_a_path_or_was_edited_is_refused(copy):
    run = read_json(copy / "run.json")
    run["folds"][0]["folder"] = "../store/" + run["folds"][0]["folder"]
    write_json(copy / "run.json", run)
    with pytest.raises(StoreError, match="not in the store"):
        forecast_from_store(copy, BARS, FEATURES)
    (copy / "run.json").write_bytes((copy / "run.json").read_bytes().replace(b'"fold": 1', b'"fold": 7'))
    with pytest.raises(StoreError, match="changed since"):
        forecast_from_store(copy, BARS, FEATURES)


def test_a_run_that_moves_a_folds_block_into_its_training_is_refused(copy):
    run = read_json(copy / "run.json")
    run["folds"][0]["test_start"] = BARS.index[40].isoformat()
    write_json(copy / "run.json", run)
    with pytest.raises(StoreError, match="says test_start"):
        forecast_from_store(copy, BARS, FEATURES)


def test_a_foreign_file_and_a_renamed_folder_are_refused(fold):
    (fold / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"`notes\.txt`.* is foreign"):
        load_fold(fold)
    (fold / "notes.txt").unlink()
    with pytest.raises(StoreError, match="not named by the hash"):
        load_fold(fold.rename(fold.parent / "live"))
    with pytest.raises(StoreError, match="no folder of the store"):
        load_fold(fold.parent / "nowhere")


def test_a_loaded_fold_stored_again_has_the_same_address(kept, tmp_path):
    fold = kept[0] / kept[1].folds[0]["stored"]
    assert save_fold(tmp_path, load_fold(fold)).name == fold.name
    assert save_fold(tmp_path, load_fold(fold)).name == fold.name  # twice: it lies there already


def test_other_features_than_those_trained_on_are_refused(kept):
    columns = list(FEATURES.columns)
    with pytest.raises(BarwiseError, match=f"lack '{columns[0]}'"):
        forecast_from_store(kept[0], BARS, FEATURES[columns[1:]])
    with pytest.raises(BarwiseError, match="another order"):
        forecast_from_store(kept[0], BARS, FEATURES[columns[::-1]])
    with pytest.raises(BarwiseError, match="besides"):
        forecast_from_store(kept[0], BARS, FEATURES.assign(more=1.0))
    with pytest.raises(BarwiseError, match="index"):
        forecast_from_store(kept[0], BARS, FEATURES[1:])
    with pytest.raises(BarwiseError, match="`start` is"):
        forecast_from_store(kept[0], BARS, FEATURES, start="2024-02-01")


def test_bars_of_another_interval_are_refused_and_a_store_that_does_not_tell_its_own_is_read(kept, fold):
    slow = random_bars(520, seed=5, interval="4h")
    features = feature_table(slow, RECIPES)
    with pytest.raises(BarwiseError, match=r"0 days 04:00:00 apart, and .* bars 0 days 01:00:00 apart"):
        forecast_from_store(kept[0], slow, features)
    untold = rewritten(fold, lambda manifest: manifest.pop("interval"))
    assert len(forecast_from_store(untold, slow, features, in_sample=True)) == len(slow)


def test_other_versions_are_warned_of(fold):
    other = rewritten(fold, lambda manifest: manifest["versions"].update(numpy="1.0"))
    start = pd.Timestamp(load_fold(other).record["test_start"])
    with pytest.warns(BarwiseWarning, match=r"made with numpy 1\.0 \(here"):
        forecast_from_store(other, BARS, FEATURES, start=start)


class Homeless(Linear):
    """In no table."""


def test_what_cannot_be_stored_is_refused_before_anything_is_fitted(tmp_path, kept):
    with pytest.raises(StoreError, match="no name in MODELS"):
        walked(tmp_path / "store", Homeless())
    stateless = Ridge()
    stateless.lookback = 1
    with pytest.raises(StoreError, match="no `get_state`"):
        walked(tmp_path / "store", stateless)
    with pytest.raises(StoreError, match="holds a run already"):
        walked(kept[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="which is a file"):
        walked(tmp_path / "file")
    assert not (tmp_path / "store").exists()


def test_a_fold_that_was_not_fitted_is_silent_again(tmp_path):
    label = LABELS["classes"]
    values = np.where(np.arange(len(BARS)) < 340, 1.0, label.values)  # one class only in the first fold
    run = walked(tmp_path / "store", label=dataclasses.replace(label, values=values))
    assert run.folds[0]["note"]
    assert "stored" not in run.folds[0]
    again = forecast_from_store(tmp_path / "store", BARS, FEATURES)
    pd.testing.assert_frame_equal(again, run.forecasts, check_exact=True, check_freq=False)


def test_a_disk_that_cannot_be_written_is_no_fold_without_forecasts(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        walked(tmp_path / "store")
    assert not list((tmp_path / "store").iterdir())


def test_rows_that_look_over_a_gap_are_silent_again(tmp_path):
    stamps = BARS.index + pd.to_timedelta(np.where(np.arange(len(BARS)) >= 400, 5, 0), unit="h")
    bars, features = BARS.set_axis(stamps), FEATURES.set_axis(stamps)
    features.attrs["memory"] = FEATURES.attrs["memory"]
    store = tmp_path / "store"
    run = walk_forward(bars, Linear(), label=LABELS["returns"], features=features, folds=FOLDS, store=store)
    features.attrs.clear()  # a table that was written and read has none; the manifest knows
    again = forecast_from_store(store, bars, features)
    pd.testing.assert_frame_equal(again, run.forecasts, check_exact=True, check_freq=False)
    assert again["signal"].isna().sum() == FEATURES.attrs["memory"]


def test_a_folder_of_other_things_is_no_store(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(StoreError, match="holds 'report.html'"):
        walked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
