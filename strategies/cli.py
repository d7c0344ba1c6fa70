"""The command line: flags from a dataclass, a config file under them, one clear line for a mistake."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import sys
import types
import typing
import warnings
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter
from rich.console import Console

from mlcore.errors import BarwiseError, BarwiseWarning, did_you_mean
from mlcore.kinds import WORDS, alternatives
from strategies.command import command_running

C = TypeVar("C")


def parse_config(config_type: type[C], argv: Sequence[str] | None, description: str) -> C:
    """Build the frozen dataclass `config_type` from flags; `--config FILE` (YAML or JSON) lies under them.

    Field ``n_jobs`` is the flag ``--n-jobs`` and the config key ``n_jobs``; a field's help is its
    ``metadata["help"]``. Raises `BarwiseError` for an unknown flag or a value of the wrong type.
    """
    parser = ArgumentParser(description=description, exit_on_error=False, formatter_class=_AsWritten)
    parser.add_argument("--config", action="config", help="YAML or JSON file with any of these flags; flags win")
    hints = typing.get_type_hints(config_type)
    for field in _flags(config_type):
        _add_flag(parser, field, hints[field.name])
    argv = _config_first(list(sys.argv[1:] if argv is None else argv))
    for field in _flags(config_type):
        kinds, flag = alternatives(hints[field.name]), "--" + field.name.replace("_", "-")
        if any(typing.get_origin(kind) is list for kind in kinds):
            argv = _again_as_list(flag, argv)
        elif any(typing.get_origin(kind) is dict for kind in kinds):
            argv = _pairs_as_json(flag, argv)
        elif len(kinds) > 1 and any(typing.get_origin(kind) is tuple for kind in kinds):
            argv = _lists_as_json(flag, argv, or_one=bool({int, float, str} & set(kinds)))
        elif typing.get_origin(kinds[0]) is tuple:
            argv = _again_as_words(flag, argv)
    _refuse_unknown_flags(parser, argv, _hidden(config_type))
    try:
        values = parser.parse_args(argv)
    except (ArgumentError, TypeError, ValueError) as error:
        raise BarwiseError(_told(_one_line(str(error)), hints, _hidden(config_type))) from None
    names = [field.name for field in _flags(config_type)]
    for name in names:
        _check_choice(name, values[name], hints[name])
    for field in _flags(config_type):
        _check_range(field, values[field.name])
    return config_type(**{name: values[name] for name in names})


class _AsWritten(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """The help, with the lines of a script's docstring as they stand: an example is to be copied."""


def _flags(config_type: Any) -> list[dataclasses.Field[Any]]:
    """The fields that are flags: all but those whose metadata say ``hidden``, and why (they keep their default)."""
    return [field for field in dataclasses.fields(config_type) if not field.metadata.get("hidden")]


def _hidden(config_type: Any) -> dict[str, str]:
    """Return flag -> why the script has none, of the fields that are no flags."""
    told = {field.name: field.metadata.get("hidden") for field in dataclasses.fields(config_type)}
    return {"--" + name.replace("_", "-"): why for name, why in told.items() if why}


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a number beyond what the flag says it may be (`strategies.config.flag`)."""
    least, most = field.metadata.get("least"), field.metadata.get("most")
    for one in value if isinstance(value, list | tuple) else [value]:
        if least is not None and one is not None and one < least:
            raise BarwiseError(f"`{field.name}` is {one}; it must be at least {least}.")
        if most is not None and one is not None and one > most:
            raise BarwiseError(f"`{field.name}` is {one}; it must be at most {most}.")


def _told(message: str, hints: dict[str, Any], hidden: dict[str, str]) -> str:
    """Return the parser's message, or a plain one where a value is none of the kinds that a flag may be."""
    if unknown := re.match(r"Option '([^']+)' is not accepted", message):
        why = hidden.get("--" + unknown[1].replace("_", "-"))
        way = f": {why}." if why else f".{did_you_mean(unknown[1], hints)} Its keys are the flags, as `min_hold: 3`."
        return f"`{unknown[1]}` in the file of `--config` is no setting of this script{way}"
    if bare := re.match(r"argument (--[\w-]+): expected", message):
        return f"`{bare[1]}` stands without a value: say `{bare[1]} VALUE`. See --help."
    if file := re.match(r'(?:Parser key "config": |Problems parsing config: |Unexpected config: )(.*)', message):
        return f"`--config` must name a YAML or JSON file of `flag: value` lines: {file[1]}"
    if stray := re.match(r"unrecognized arguments: (\S+)", message):
        return f"`{stray[1]}` belongs to no flag: a switch (`--expanding`) takes no word, the others one. See --help."
    found = re.match(
        r'Parser key "(\w+)": (?:Does not validate .* Given value|Expected a .* Got value): (.*)$', message
    )
    if not found or found[1] not in hints:
        return message
    words = []
    for kind in alternatives(hints[found[1]]):
        if typing.get_origin(kind) is tuple:
            words.append(f"{WORDS[typing.get_args(kind)[0]].split(' ', 1)[1]}s parted by commas")
        elif kind is not types.NoneType:
            words.append(WORDS.get(kind, "pairs name=value"))
    return f"`{found[1]}` is {found[2]}; it must be {' or '.join(words)}."


def _check_choice(name: str, value: Any, hint: Any) -> None:
    if typing.get_origin(hint) is typing.Literal and value not in typing.get_args(hint):
        choices = typing.get_args(hint)
        raise BarwiseError(
            f"`{name}` is {value!r}; it must be one of {', '.join(choices)}.{did_you_mean(str(value), choices)}"
        )


def _config_first(argv: list[str]) -> list[str]:
    """Move `--config FILE` to the front: later words win, and flags must, wherever they stand."""
    config: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--config":
            config += [word, *[next_word for next_word in [next(words, None)] if next_word is not None]]
        else:
            (config if word.startswith("--config=") else rest).append(word)
    return config + rest


def _pairs_as_json(flag: str, argv: list[str]) -> list[str]:
    """Write all `name=value` words after `flag`, wherever it stands, as one JSON mapping behind it."""
    rest: list[str] = []
    pairs: dict[str, Any] = {}
    last = ""
    for word in argv:
        last = word if word.startswith("--") else last
        if last == flag and "=" in word and word[0] not in "-{[":
            name, value = word.split("=", 1)
            pairs[name] = _plain_value(value)
            if rest[-1:] == [flag]:
                rest.pop()
        else:
            rest.append(word)
    return [*rest, flag, json.dumps(pairs)] if pairs else rest


def _again_as_list(flag: str, argv: list[str]) -> list[str]:
    """Write a flag that is given more than once, or with several words, as one JSON list; one word stays a word."""
    given, rest = _words_after(flag, argv)
    if not given:
        return argv
    return [*rest, flag, given[0] if len(given) == 1 else json.dumps(given)]


def _again_as_words(flag: str, argv: list[str]) -> list[str]:
    """Write a flag of several words that is given more than once, or with commas, as one flag with all its words.

    A word with an equals sign keeps its commas: they part what is inside it (``study_rule:base=0.1,cap=0.2``).

    >>> _again_as_words("--entry", ["--entry", "0", "0.1", "--out", "x", "--entry=0.2,0.3"])
    ['--out', 'x', '--entry', '0', '0.1', '0.2', '0.3']
    """
    given, rest = _words_after(flag, argv)
    parts = (part for word in given for part in ([word] if "=" in word else word.split(",")))
    words = [part.strip() for part in parts if part.strip()]
    return [*rest, flag, *words] if words else argv


def _words_after(flag: str, argv: list[str]) -> tuple[list[str], list[str]]:
    """Return all words that stand after `flag`, wherever it stands, and the rest of `argv` without it."""
    rest: list[str] = []
    given: list[str] = []
    last = ""
    for word in argv:
        if word.startswith("--"):
            last, _, value = word.partition("=")
            given += [value] * (last == flag and bool(value))
        elif last == flag:
            given.append(word)
        if last != flag:
            rest.append(word)
    return given, rest


def _lists_as_json(flag: str, argv: list[str], *, or_one: bool) -> list[str]:
    """Write `--flag 5,15,60` and `--flag 5 15 60` as one JSON list; one word alone stays a word where it may be one."""
    rest: list[str] = []
    at = 0
    while at < len(argv):
        name, equals, first = argv[at].partition("=")
        at += 1
        if name != flag:
            rest.append(argv[at - 1])
            continue
        said = [first] if equals else []
        while at < len(argv) and not argv[at].startswith("--"):
            said.append(argv[at])
            at += 1
        words = [word.strip() for word in ",".join(said).split(",")] if said and said[0][:1] not in "[{(" else []
        one = len(words) == 1 and (or_one or words[0] in ("null", "None"))
        values = [_plain_value(word) for word in words if word]
        rest += [flag, *(said if one or not words else [json.dumps(values)])]
    return rest


def _plain_value(word: str) -> Any:
    """Return the number, truth value, null or list that `word` says in JSON or Python, or the word itself."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(word, word))
    except json.JSONDecodeError:
        return word


def _add_flag(parser: ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    options: dict[str, Any] = {"help": field.metadata.get("help", "")}
    required = field.default is dataclasses.MISSING
    if not required:
        options["default"] = field.default
    if hint is bool:
        options["action"] = "store_true"
    elif typing.get_origin(hint) is typing.Literal:  # checked after parsing, where a near miss can be told
        options |= {"type": str, "required": required, "metavar": f"{{{','.join(typing.get_args(hint))}}}"}
    elif typing.get_origin(hint) is tuple:  # several words after one flag: --entry 0 0.1 0.2
        options |= {"type": typing.get_args(hint)[0], "nargs": "+", "required": required}
        if not required:
            options["default"] = list(options["default"])
    else:
        options |= {"type": hint, "required": required}
    parser.add_argument("--" + field.name.replace("_", "-"), **options)


def _refuse_unknown_flags(parser: ArgumentParser, argv: list[str], hidden: dict[str, str]) -> None:
    known = [flag for action in parser._actions for flag in action.option_strings]
    for word in argv:
        flag = word.split("=", 1)[0]
        if flag.startswith("--") and len(flag) > 2 and flag not in known and not _is_prefix(flag, known):
            if flag in hidden:
                raise BarwiseError(f"`{flag}` is not a flag of this script: {hidden[flag]}. See --help.")
            raise BarwiseError(f"`{flag}` is not a flag of this script.{_near(flag, known)} See --help.")


def _near(flag: str, known: list[str]) -> str:
    """Return the nearest flag in words; the dashes, alike in all, make nothing near."""
    names = [name.removeprefix("--") for name in known if name.startswith("--")]
    close = difflib.get_close_matches(flag.removeprefix("--"), names, n=1)
    return f" Did you mean '--{close[0]}'?" if close else ""


def _is_prefix(flag: str, known: list[str]) -> bool:
    base = flag.split(".", 1)[0].removesuffix("+")  # `--sizer-params.size 0.1` reaches into a mapping
    return base in known


def _one_line(message: str) -> str:
    return " ".join(message.replace("\n", " ").split())


def run_cli(main: Callable[[], None]) -> None:
    """Run `main`; print an expected error as one line and exit with its code; show our warnings once each."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        with warnings.catch_warnings(), command_running():
            _show_warnings_plainly(console)
            main()
    except BarwiseError as error:
        console.print(f"error: {_one_line(str(error))}", markup=False)
        sys.exit(error.exit_code)
    except RuntimeError as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        console.print(f"error: {_one_line(str(error))}", markup=False)
        sys.exit(code)
    except KeyboardInterrupt:
        console.print("stopped: nothing was written.")
        sys.exit(130)


def _show_warnings_plainly(console: Console) -> None:
    shown = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if issubclass(category, BarwiseWarning):
            console.print(f"warning: {_one_line(str(message))}", markup=False)
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
