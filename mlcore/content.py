"""What a result was made of, as hashes: the code, the parameters, the frames. Equal content, equal result."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlcore.bars import bars_sha256
from mlcore.errors import BarwiseError

KIT = ("mlcore", "strategies")
_LIBRARIES = {"site-packages", "dist-packages"}


def sha256_of(value: Any) -> str:
    """Return the SHA-256 of `value`, which is what `plain` can tell.

    >>> sha256_of({"a": 1, "b": 2.0}) == sha256_of({"b": 2.0, "a": 1})
    True
    >>> sha256_of(1) == sha256_of(1.0)
    False
    """
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return `value` as JSON holds it, so that different contents differ; refuse what cannot be told by its content.

    Numbers, words, None, lists, tuples, sets, mappings, arrays, frames (by `bars_sha256`), times, classes and
    functions (by name: `code_of` tells their code), and whatever has sklearn's ``get_params``.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(json.dumps, map(plain, value)))}
    if isinstance(value, np.ndarray):
        held = np.ascontiguousarray(value)
        return {"array": hashlib.sha256(held.data).hexdigest(), "dtype": str(held.dtype), "shape": list(held.shape)}
    if isinstance(value, pd.DataFrame):
        return {"frame": bars_sha256(value)}
    if isinstance(value, pd.Timestamp | pd.Timedelta | pd.DateOffset):
        return {type(value).__name__: str(value)}
    if inspect.isclass(value) or inspect.isfunction(value) or inspect.isbuiltin(value):
        if "<" in value.__qualname__:  # two lambdas of a module share a name, as do all that a function makes
            raise BarwiseError(
                f"{value!r} cannot be told from another one by its content: it is a lambda, or was made inside a "
                "function. Define it at the top of a module."
            )
        return {"code": f"{value.__module__}:{value.__qualname__}"}
    if hasattr(value, "get_params"):
        kind = type(value)
        return {"object": f"{kind.__module__}:{kind.__qualname__}", "params": plain(value.get_params(deep=False))}
    raise BarwiseError(
        f"{value!r} is a {type(value).__name__}, which cannot be told from another one by its content: what was made "
        "with it cannot be kept for later. Give numbers, words, lists, arrays, or an object with `get_params`."
    )


def code_of(*things: Any) -> dict[str, str]:
    """Return the code that `things` (functions, classes, objects, modules) run: module -> SHA-256 of its source.

    The module that defines each (of a class: those of its bases, too) and, from there, every module of the same
    package, of this kit, or that is not installed (a script beside), that an ``import`` statement anywhere in it names.
    A name that a package only hands on leads to the module that defines it, not to all that the package imports. A
    thing of an installed library is told by the library's version. Refused: what was typed at a prompt, which has no
    file.
    """
    waiting = [module for thing in things for module in _modules_of(thing)]
    roots = {name.partition(".")[0] for name in waiting} | set(KIT)
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        path = None if name in found or root in sys.stdlib_module_names else _file_of(name)
        if path is None:
            continue
        if root not in KIT and _LIBRARIES & set(path.parts):
            found[root] = _version_of(root)
        else:
            source = _read(name, path)
            found[name] = source.digest
            waiting += [_home(*word) for word in source.imports if _is_own(word[0].partition(".")[0], roots)]
    return dict(sorted(found.items()))


def _is_own(root: str, roots: set[str]) -> bool:
    """Tell whether a package is among `roots`, or is neither installed nor part of Python; nothing is imported."""
    if root in roots or root in sys.stdlib_module_names:
        return root in roots
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:
        return False
    places = [] if spec is None else filter(None, [spec.origin, *(spec.submodule_search_locations or ())])
    parts = [set(Path(place).parts) for place in places]
    return bool(parts) and not any(_LIBRARIES & part for part in parts)


def _modules_of(thing: Any) -> Iterator[str]:
    if inspect.ismodule(thing):
        yield thing.__name__
        return
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        if hasattr(thing, "get_params"):
            members = thing.member_models() if hasattr(thing, "member_models") else ()
            for held in (*thing.get_params(deep=False).values(), *members):
                yield from _held(held)
        thing = type(thing)
    for one in thing.__mro__ if inspect.isclass(thing) else (inspect.unwrap(thing),):
        yield one.__module__


def _held(value: Any) -> Iterator[str]:
    """Yield the modules of models and code among the parameters of a model."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _held(one)
    elif hasattr(value, "get_params") or inspect.isclass(value) or inspect.isfunction(value):
        yield from _modules_of(value)


@functools.cache
def _version_of(root: str) -> str:
    """Return names and versions of what installed a package."""
    held = importlib.metadata.packages_distributions().get(root, [])
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(held))) or "of no version"


@functools.cache
def _file_of(name: str) -> Path | None:
    """Return the source file of a module, None for what is no module or has none (an extension, a namespace)."""
    if name in sys.modules:
        path = getattr(sys.modules[name], "__file__", None)
        if path is None and name == "__main__":
            raise BarwiseError("What was typed at a prompt has no source file to tell it by: put it into a module.")
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        path = spec.origin if spec is not None else None
    return Path(path) if path and str(path).endswith(".py") else None


class _Source(NamedTuple):
    """A source file: its hash, what it imports as ``(module, name in it or "")``, and what its own names come from."""

    digest: str
    imports: tuple[tuple[str, str], ...]
    bound: dict[str, tuple[str, str]]


def _home(module: str, name: str) -> str:
    """Return the module that ``from module import name`` leads to: past packages that only hand the name on."""
    path = _file_of(module) if name else None
    if path is None or path.name != "__init__.py":
        return module
    if (path.parent / f"{name}.py").exists() or (path.parent / name / "__init__.py").exists():
        return f"{module}.{name}"
    bound = _read(module, path).bound.get(name)
    if bound is not None and bound != (module, name):
        return _home(*bound)
    made = sys.modules[module].__dict__.get("__getattr__") if module in sys.modules else None
    return getattr(made(name), "__module__", module) if made is not None else module  # a package that hands on lazily


def _read(name: str, path: Path) -> _Source:
    stat = path.stat()
    return _read_as_of(name, path, stat.st_mtime_ns, stat.st_size)  # read again where the file changed


@functools.lru_cache(maxsize=1024)
def _read_as_of(name: str, path: Path, changed: int, size: int) -> _Source:
    source = path.read_bytes()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports: list[tuple[str, str]] = []
    bound: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            imports += [(base, "" if alias.name == "*" else alias.name) for alias in node.names]
            bound |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
    return _Source(hashlib.sha256(source).hexdigest(), tuple(dict.fromkeys(imports)), bound)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
    return f"{above}.{node.module}" if node.module else above
