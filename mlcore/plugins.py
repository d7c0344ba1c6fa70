"""The name tables: a plugin is found, and tested, because it stands in one of them."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from mlcore.errors import BarwiseError, did_you_mean

T = TypeVar("T")
ENTRY_POINT_GROUP = "barwise.plugins"


class UnknownPluginError(BarwiseError, KeyError):
    """A name that is in no table."""

    def __str__(self) -> str:
        return str(self.args[0])


class Table(Mapping[str, Any]):
    """Plugins of one kind by name; an entry may be lazy (``"package.module:attribute"``).

    Third parties register on import; name the module under the entry point group
    ``barwise.plugins`` and it is imported at the first look-up.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Any] = {}

    def register(self, name: str, plugin: T) -> T:
        """Enter `plugin` under `name`; refuse a second, different one of that name."""
        known = self._entries.get(name)
        if known is not None and known is not plugin:
            raise BarwiseError(f"`{self.kind}` {name!r} is registered twice: choose another name for the new one.")
        self._entries[name] = plugin
        return plugin

    def add(self, function: T) -> T:
        """Decorator: enter a function under its own name."""
        return self.register(function.__name__, function)  # type: ignore[attr-defined]

    def named(self, name: str) -> Callable[[T], T]:
        """Decorator: enter a class or function under `name`."""
        return lambda plugin: self.register(name, plugin)

    def __getitem__(self, name: str) -> Any:
        load_entry_points()
        if name not in self._entries:
            raise UnknownPluginError(
                f"`{self.kind}` is {name!r}, which is not known.{did_you_mean(name, self._entries)} "
                f"Known: {', '.join(sorted(self._entries))}."
            )
        entry = self._entries[name]
        return _load(entry) if isinstance(entry, str) else entry

    def name_of(self, plugin: Any) -> str | None:
        """Return the name under which `plugin` itself is entered, or None; nothing lazy is imported for it."""
        load_entry_points()
        path = f"{plugin.__module__}:{plugin.__qualname__}"
        return next((name for name, entry in self._entries.items() if entry is plugin or entry == path), None)

    def __contains__(self, name: object) -> bool:
        load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        load_entry_points()
        return iter(self._entries)

    def __len__(self) -> int:
        load_entry_points()
        return len(self._entries)


def _load(path: str) -> Any:
    module, attribute = path.split(":")
    return getattr(importlib.import_module(module), attribute)


_LOADED: set[str] = set()


@functools.cache
def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    """Look through the installed packages once a process: it takes 5 ms, and a feature table asks 100 times."""
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def load_entry_points() -> None:
    """Import the modules that installed packages name under ``barwise.plugins``, once each."""
    for point in _entry_points():
        if point.value not in _LOADED:
            _LOADED.add(point.value)
            point.load()


CONFIDENCES = Table("confidence")
FEATURES = Table("feature")
LABELS = Table("label")
MODELS = Table("model")
SIZERS = Table("sizer")
