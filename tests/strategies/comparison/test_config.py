from dataclasses import fields

import pytest

from mlcore.errors import BarwiseError
from mlcore.plugins import MODELS
from strategies.cli import parse_config
from strategies.comparison.config import ComparisonConfig
from strategies.main_job import LABEL_FLAGS, MODEL_FLAGS


def config(**more) -> ComparisonConfig:
    return ComparisonConfig(bars="x", out="y", **more)


def test_all_is_every_model_and_skip_leaves_some_out():
    assert config().names == tuple(MODELS)
    assert config(models="lstm, naive,lstm").names == ("lstm", "naive")
    assert "tcn" not in config(skip="tcn").names


@pytest.mark.parametrize("more", [{"models": "lsmt"}, {"skip": "lsmt"}, {"shuffled": "lsmt"}])
def test_an_unknown_name_is_refused_with_the_nearest(more):
    with pytest.raises(BarwiseError, match=f"`{next(iter(more))}` is 'lsmt'.*Did you mean 'lstm'"):
        config(**more).names  # noqa: B018


def test_nothing_left_to_compare_is_refused():
    with pytest.raises(BarwiseError, match="leaves none"):
        config(models="lstm", skip="lstm").names  # noqa: B018


def test_each_model_is_given_what_it_knows():
    both = config(preset="light", set={"epochs": 2, "hidden": 8})
    assert (both.of("lstm").model, both.of("lstm").preset, both.of("lstm").set) == ("lstm", "light", both.set)
    assert (both.of("lightgbm").preset, both.of("lightgbm").set) == (None, {})


def test_what_no_model_knows_is_refused():
    with pytest.raises(BarwiseError, match="Did you mean 'light'"):
        config(preset="ligth").check_set()
    with pytest.raises(BarwiseError, match="Did you mean 'epochs'"):
        config(set={"epocs": 2}).check_set()
    with pytest.raises(BarwiseError, match="none of the models"):
        config(models="lightgbm", set={"epochs": 2}).check_set()
    config(set={"hidden": 8}, preset="deep").check_set()


@pytest.mark.parametrize("more", [{"stride": 0}, {"resamples": 99}])
def test_numbers_out_of_range_are_refused(more):
    with pytest.raises(BarwiseError, match="at least"):
        config(**more)


def test_the_flag_model_is_not_one_of_a_comparison():
    parsed = parse_config(ComparisonConfig, ["--bars", "x", "--out", "y", "--models", "lstm"], "")
    assert parsed.names == ("lstm",)
    with pytest.raises(BarwiseError, match="`--model` is not a flag of this script: say `--models`"):
        parse_config(ComparisonConfig, ["--bars", "x", "--out", "y", "--model", "lstm"], "")


def test_a_loss_is_for_the_models_that_can_be_trained_by_one():
    both = config(loss="focal", class_weights="balanced", models="lstm,naive")
    both.check_set()
    assert (both.of("lstm").loss, both.of("naive").loss) == ("focal", None)
    with pytest.raises(BarwiseError, match="`loss` is 'focal', and none"):
        config(loss="focal", models="naive").check_set()


def test_a_model_may_be_named_by_its_path():
    path = "sklearn.ensemble.ExtraTreesClassifier"
    assert config(models=path).names == (path,)
    assert config(models=path, preset="light").of(path).preset is None


@pytest.mark.parametrize(
    ("flag", "why"), [("--members", "with their own members"), ("--store", "the main job"), ("--model", "`--models`")]
)
def test_a_flag_of_the_main_job_alone_says_why_it_is_none_here(flag, why):
    with pytest.raises(BarwiseError, match=f"`{flag}` is not a flag of this script: .*{why}"):
        parse_config(ComparisonConfig, ["--bars", "x", "--out", "y", flag, "linear"], "")


def test_what_holds_for_some_models_only_is_told():
    assert config(models="lstm,tcn").told() == []
    some = config(models="lstm,bilstm,linear", stride=4, schedule="plateau", preset="light", set={"epochs": 2}).told()
    assert [text.split(";")[0] for text in some] == [
        "`schedule` is for lstm, bilstm",
        "`epochs` of `set` is for lstm, bilstm",
        "`preset` is for lstm, bilstm",
        "`stride` is for bilstm",
    ]
    assert "every model's signals as they are" in config(models="lstm", entry=0.1).told()[0]


def test_a_stride_that_touches_no_model_is_refused():
    config(models="linear,informer", stride=4).check_set()
    with pytest.raises(BarwiseError, match="`stride` is 4, and none of the models reads windows"):
        config(models="linear,tcn", stride=4).check_set()


# What the comparison reads: a new flag of the main job must be read here too, or be hidden (it would do nothing).
READ = {"bars", "out", "preset", "set", "confidence", "label", "label_entry", "train", "test", "expanding", "latency"}
READ |= {
    "max_gap",
    "repair",
    "stamped",
    "symbol",
    "start",
    "end",
    "commission",
    "slippage",
    "sizer",
    "sizer_params",
    "entry",
    "exit",
}
READ |= {"min_hold", "band", "side", "min_confidence", "engine", "days_per_year", "cash", "n_jobs", "seed", "overwrite"}
READ |= {"models", "skip", "shuffled", "stride", "resamples", *MODEL_FLAGS, *LABEL_FLAGS.values()}


def test_no_flag_does_nothing():
    shown = {field.name for field in fields(ComparisonConfig) if not field.metadata.get("hidden")}
    assert shown == READ


def test_the_help_says_what_happens_here_and_not_in_the_main_job():
    told = {flag.name: flag.metadata.get("help", "") for flag in fields(ComparisonConfig)}
    assert "one symbol" in told["bars"] and "train one model" not in told["bars"]
    assert "A,B" not in told["symbol"]
    assert all("every model" in told[name] for name in ("preset", "set", "lookback"))
