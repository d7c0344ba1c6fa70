from __future__ import annotations

from dataclasses import dataclass, field

import pytest

import mlcore.labels  # noqa: F401  (enters the labels in their table)
from mlcore.errors import BarwiseError
from mlcore.plugins import LABELS
from strategies.cli import parse_config, run_cli
from strategies.comparison.config import ComparisonConfig
from strategies.config import StudyConfig, flag


@dataclass(frozen=True)
class Small:
    bars: str = field(metadata={"help": "a file"})
    days_per_year: float = 365.0
    expanding: bool = False


def parse(*words: str) -> Small:
    return parse_config(Small, list(words), "a test")


def test_flags_become_fields():
    assert parse("--bars", "x", "--days-per-year", "252", "--expanding") == Small("x", 252.0, True)


def test_flags_win_over_the_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: from_file\ndays_per_year: 252\nexpanding: true\n")
    assert parse("--config", str(path), "--bars", "flag") == Small("flag", 252.0, True)
    assert parse("--bars", "flag", "--config", str(path)) == Small("flag", 252.0, True)


def test_every_field_of_the_main_job_can_be_in_a_config_file(tmp_path):
    import json

    config = StudyConfig(bars="b", out="o", model="tcn", lookback=30, sizer_params={"size": 0.5}, expanding=True)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config.as_dict()))
    assert parse_config(StudyConfig, ["--config", str(path)], "") == config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bars", "x", "--days-per-yaer", "1"], "Did you mean '--days-per-year'?"),
        (["--bars", "x", "--days-per-year", "many"], "`days_per_year` is many; it must be a number"),
        (["--bars", "x", "--brs", "y"], "Did you mean '--bars'"),
        (["--bars", "x", "stray"], "`stray` belongs to no flag"),
        ([], "bars"),
        (
            ["--config", "nowhere.yaml"],
            "`--config` must name a YAML or JSON file of `flag: value` lines: .*nowhere.yaml",
        ),
        (["--bars", "x", "--days-per-year"], "`--days-per-year` stands without a value"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag(words, said):
    with pytest.raises(BarwiseError, match=said) as error:
        parse(*words)
    assert "\n" not in str(error.value)


def test_an_unknown_key_in_a_config_file_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: b\ndays_per_yaer: 252\n")
    with pytest.raises(BarwiseError, match="`days_per_yaer` in the file of `--config` .* Did you mean 'days_per_year'"):
        parse("--config", str(path))


def test_a_key_that_the_script_leaves_out_on_purpose_is_told_with_the_reason(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: b\nout: o\nmodel: lstm\n")
    with pytest.raises(BarwiseError, match="`model` in the file .*: say `--models`"):
        parse_config(ComparisonConfig, ["--config", str(path)], "")


@dataclass(frozen=True)
class Counted:
    bars: str = flag(..., "a file")
    coins: int = flag(22, "how many", least=1)
    delay: tuple[int, ...] = flag((0,), "bars late", least=0)
    jobs: int | None = flag(None, "at a time", least=1)
    share: float = flag(0.5, "of the account", least=0, most=1)


def test_a_flag_says_the_least_and_the_most_it_may_be():
    assert parse_config(Counted, ["--bars", "b", "--coins", "1", "--delay", "0", "3"], "").coins == 1
    for words, said in (
        (["--coins", "0"], "`coins` is 0; it must be at least 1."),
        (["--delay", "1", "-1"], "`delay` is -1"),
        (["--jobs", "0"], "`jobs` is 0"),
        (["--share", "1.5"], "`share` is 1.5; it must be at most 1."),
    ):
        with pytest.raises(BarwiseError, match=said):
            parse_config(Counted, ["--bars", "b", *words], "")
    with pytest.raises(BarwiseError, match="bars"):
        parse_config(Counted, [], "")


def test_the_help_shows_an_example_as_it_is_to_be_typed(capsys):
    example = (
        "python experiments/sweep.py --bars FILE --out DIR --entry 0 0.1 0.2 --sizer fixed --delay 0 1 2 --cash 10"
    )
    with pytest.raises(SystemExit):
        parse_config(Small, ["--help"], f"A question?\n\n{example}\n")
    assert example in capsys.readouterr().out.splitlines()


def test_the_help_of_the_label_names_every_label():
    told = StudyConfig.__dataclass_fields__["label"].metadata["help"]
    assert all(name in told for name in LABELS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("horizon", 0), ("commission", 1.0), ("slippage", -0.1), ("cash", 0.0), ("n_jobs", 0), ("max_gap", -1)],
)
def test_a_setting_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(BarwiseError, match=f"`{name}` is {value}"):
        StudyConfig(bars="b", out="o", **{name: value})


def test_an_expected_error_costs_one_line_and_its_exit_code(capsys):
    def fail() -> None:
        raise BarwiseError("`x` is 1;\n it must be 2.")

    with pytest.raises(SystemExit) as stop:
        run_cli(fail)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: `x` is 1; it must be 2.\n"


def test_an_error_with_an_exit_code_of_its_own_keeps_it(capsys):
    class Differs(RuntimeError):
        exit_code = 3

    def fail() -> None:
        raise Differs("bar 7")

    with pytest.raises(SystemExit) as stop:
        run_cli(fail)
    assert stop.value.code == 3
    assert capsys.readouterr().err == "error: bar 7\n"


def test_an_unexpected_error_is_not_hidden():
    def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run_cli(fail)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["--set", "hidden=64"], {"hidden": 64}),
        (["--set", "hidden=64", "layers=2", "--preset", "deep"], {"hidden": 64, "layers": 2}),
        (["--set", "hidden=64", "--preset", "deep", "--set", "dropout=0.1"], {"hidden": 64, "dropout": 0.1}),
        (["--set", "dense=False", "threads=null", "device=cpu"], {"dense": False, "threads": None, "device": "cpu"}),
        (["--set", '{"hidden": 64}'], {"hidden": 64}),
        ([], None),
    ],
)
def test_parameters_of_the_model_are_pairs(words, given):
    config = parse_config(StudyConfig, ["--bars", "b", "--out", "o", *words], "")
    assert config.set == given
    assert config.preset == ("deep" if "--preset" in words else None)


def test_parameters_of_the_model_can_be_in_a_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: b\nout: o\npreset: light\nset:\n  width: 16\n")
    config = parse_config(StudyConfig, ["--config", str(path)], "")
    assert (config.preset, config.set) == ("light", {"width": 16})


def test_a_model_is_made_by_preset_and_parameters():
    from strategies.main_job import make_model

    config = StudyConfig(bars="b", out="o", preset="light", set={"hidden": 48}, seed=3)
    model = make_model("lstm", config)
    assert (model.lookback, model.width, model.seed) == (20, 48, 3)
    assert make_model("lstm", StudyConfig(bars="b", out="o", preset="light", lookback=33)).lookback == 33
    with pytest.raises(BarwiseError, match="`set` holds `lookback`.*`--lookback 30`"):
        make_model("lstm", StudyConfig(bars="b", out="o", set={"lookback": 30}))


@pytest.mark.parametrize(
    ("words", "bars"),
    [
        (["--bars", "A"], "A"),
        (["--bars", "A", "--bars", "B"], ["A", "B"]),
        (["--bars=A", "--model", "linear", "--bars=B", "--bars", "C"], ["A", "B", "C"]),
        (["--bars", "A", "B"], ["A", "B"]),
        (["--bars", "A,B"], "A,B"),  # split where no file of that name is there
        (["--bars", "1.5"], "1.5"),
    ],
)
def test_bars_of_many_files_are_a_list(words, bars):
    config = parse_config(StudyConfig, [*words, "--out", "o"], "")
    assert config.bars == bars
    assert config.model == "linear"


def test_bars_of_many_files_can_be_in_a_config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: [A, B]\nout: o\n")
    assert parse_config(StudyConfig, ["--config", str(path)], "").bars == ["A", "B"]
    assert parse_config(StudyConfig, ["--config", str(path), "--bars", "C"], "").bars == "C"


def study(*words: str) -> StudyConfig:
    return parse_config(StudyConfig, ["--bars", "b", "--out", "o", *words], "")


@pytest.mark.parametrize(
    ("words", "horizon"),
    [
        (["--horizon", "7"], 7),
        (["--horizon=7"], 7),
        (["--horizon", "5,15,60"], (5, 15, 60)),
        (["--horizon=5,15"], (5, 15)),
        (["--horizon", "5", "15", "60", "--seed", "3"], (5, 15, 60)),
        (["--horizon", "5,", "15"], (5, 15)),
        (["--horizon", "[5, 15, 60]"], (5, 15, 60)),
        (["--horizon", "5,15", "--horizon", "9"], 9),
        ([], 5),
    ],
)
def test_horizons_are_one_number_or_several(words, horizon):
    assert study(*words).horizon == horizon


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--quantiles", "0.1,0.5,0.9"], "quantiles", (0.1, 0.5, 0.9)),
        (["--quantiles", "0.5"], "quantiles", (0.5,)),
        (["--quantiles", "null"], "quantiles", None),
        (["--class-weights", "balanced"], "class_weights", "balanced"),
        (["--class-weights", "2,1,2"], "class_weights", (2.0, 1.0, 2.0)),
        (["--edges", "0.01", "0.02"], "edges", (0.01, 0.02)),
        (["--loss", "focal", "--loss-params", "gamma=1"], "loss_params", {"gamma": 1}),
    ],
)
def test_lists_are_words_parted_by_commas_or_spaces(words, name, value):
    assert getattr(study(*words), name) == value


def test_lists_can_be_in_a_config_file_and_come_back_from_one(tmp_path):
    import json

    path = tmp_path / "c.yaml"
    path.write_text("bars: b\nout: o\nhorizon: [5, 15]\nquantiles: [0.1, 0.9]\nclass_weights: balanced\n")
    config = parse_config(StudyConfig, ["--config", str(path)], "")
    assert (config.horizon, config.quantiles, config.class_weights) == ((5, 15), (0.1, 0.9), "balanced")
    again = tmp_path / "again.json"
    again.write_text(json.dumps(config.as_dict()))
    assert parse_config(StudyConfig, ["--config", str(again)], "") == config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "vectorbtt"], "`engine` is 'vectorbtt'; it must be one of .* Did you mean 'vectorbt'?"),
        (["--side", "shrot"], "Did you mean 'short'?"),
        (["--horizon", "five"], "`horizon` is five; it must be a whole number or whole numbers parted by commas."),
        (["--horizon", "5,x"], r"`horizon` is \[5, 'x'\]"),
        (["--horizon", "5.5"], "`horizon` is 5.5"),
        (["--quantiles", "0.1,half"], "it must be numbers parted by commas."),
        (["--horizon", "5,0"], r"`horizon` is \(5, 0\); it must be at least 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_can(words, said):
    with pytest.raises(BarwiseError, match=said):
        study(*words)


def test_a_choice_in_a_config_file_is_checked_too(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("bars: b\nout: o\nengine: backtrade\n")
    with pytest.raises(BarwiseError, match="Did you mean 'backtrader'"):
        parse_config(StudyConfig, ["--config", str(path)], "")


@dataclass(frozen=True)
class Several:
    entry: tuple[float, ...] = (0.0,)
    bars: tuple[str, ...] = ("x",)


@pytest.mark.parametrize(
    "words", [["--entry", "0", "0.1", "0.2"], ["--entry", "0", "--entry", "0.1", "--entry=0.2"], ["--entry=0,0.1,0.2"]]
)
def test_a_flag_of_several_words_may_be_given_again(words):
    given = parse_config(Several, [*words, "--bars", "a", "--bars", "b"], "")
    assert (tuple(given.entry), tuple(given.bars)) == ((0.0, 0.1, 0.2), ("a", "b"))
    assert tuple(parse_config(Several, ["--bars", "b"], "").entry) == (0.0,)


def test_flags_of_several_words_win_over_the_config_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("entry: [0.5, 0.6]\nbars: [c]\n")
    given = parse_config(Several, ["--config", str(file), "--bars", "a", "--bars", "b"], "")
    assert (tuple(given.entry), tuple(given.bars)) == ((0.5, 0.6), ("a", "b"))
