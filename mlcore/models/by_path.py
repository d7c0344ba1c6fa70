"""Models that are not ours, by import path: any scikit-learn estimator, any `torch.nn.Module`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import Any

from mlcore.errors import BarwiseError, did_you_mean

OWN = {"lookback", "seed"}  # ours, whatever the thing behind the path calls its own


def model_by_path(path: str, **parameters: Any) -> Any:
    """Return a new, unfitted model around the class that `path` names, as ``package.module.Class``.

    `parameters` go to the class; those it does not know go to our model around it (`lookback`, `seed`, and for a
    network the training parameters of `TorchModel`). Importing runs the code of that module.

    Raises BarwiseError for a path that leads nowhere, a class that is neither, and an unknown parameter.

    >>> model_by_path("sklearn.ensemble.ExtraTreesClassifier", n_estimators=50, lookback=3)
    Sklearn(estimator=ExtraTreesClassifier(n_estimators=50), lookback=3)
    """
    kind, around = import_class(path), face_of(path)
    signature, outer = inspect.signature(kind).parameters, set(inspect.signature(around).parameters)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values())
    inner = (set(parameters) - outer if takes_any else set(signature)) - OWN
    unknown = [name for name in parameters if name not in inner | outer]
    if unknown:
        raise BarwiseError(
            f"`{unknown[0]}` is no parameter of {path!r}.{did_you_mean(unknown[0], inner | outer)} "
            f"It has: {', '.join(sorted(inner))}; around it: {', '.join(sorted(outer))}."
        )
    theirs = {name: value for name, value in parameters.items() if name in inner}
    ours = {name: value for name, value in parameters.items() if name not in inner}
    return around.around(kind, path, theirs, ours)


def face_of(path: str) -> Any:
    """Return the class of ours that goes around the class at `path`; refuse one that is neither."""
    kind = import_class(path)
    if _is_module(kind):
        from mlcore.models.module import Module

        return Module
    if _could_be(kind):
        from mlcore.models.sklearn import Sklearn

        return Sklearn
    raise BarwiseError(f"`model` {path!r} is neither a scikit-learn estimator nor a torch.nn.Module.")


def import_class(path: str) -> type:
    """Import ``package.module.Class``; refuse a path that leads nowhere, with the nearest name of its module."""
    module_path, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_path)
    except ImportError as error:
        raise BarwiseError(
            f"`model` {path!r}: {error}. A path is package.module.Class; is the package installed?"
        ) from None
    found = getattr(module, name, None)
    if inspect.ismodule(found) or (found is None and _is_importable(path)):
        raise BarwiseError(
            f"`model` {path!r} is a module; name a class in it: package.module.Class.{_a_class_of(path)}"
        )
    if not isinstance(found, type):
        classes = [word for word, held in vars(module).items() if isinstance(held, type)]
        raise BarwiseError(f"`model` {path!r}: {module_path} has no class {name!r}.{did_you_mean(name, classes)}")
    return found


def _is_importable(path: str) -> bool:
    try:
        return importlib.util.find_spec(path) is not None
    except (ImportError, ValueError):
        return False


def _a_class_of(path: str) -> str:
    """Return an example: the first class of the module that could be a model."""
    named = vars(importlib.import_module(path))
    fit = [word for word in sorted(named) if isinstance(named[word], type) and _could_be(named[word])]
    return f" As {path}.{fit[0]}, say." if fit else ""


def _could_be(kind: type) -> bool:
    return _is_module(kind) or all(hasattr(kind, name) for name in ("fit", "predict", "get_params"))


def _is_module(kind: type) -> bool:
    """True for a `torch.nn.Module`; torch is not imported to find out."""
    return any(base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in kind.__mro__)
