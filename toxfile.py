"""Let tox environments of one `env_dir` share their virtualenv.

tox 4 makes a virtualenv anew whenever another environment's name used it last
(tox-dev/tox#2788). Ours differ in their commands alone, so the name is taken out of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tox.plugin import impl
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class SharedInfo(Info):
    """What tox remembers of a virtualenv, without the name of the environment that made it."""

    @contextmanager
    def compare(self, value: Any, section: str, sub_section: str | None = None) -> Iterator[tuple[bool, Any]]:
        if section == "ToxEnv":
            value = {**value, "name": "shared"}
        with super().compare(value, section, sub_section) as answer:
            yield answer


class SharedVirtualEnvRunner(VirtualEnvRunner):
    """A virtualenv that several environments use (`runner = shared`)."""

    @staticmethod
    def id() -> str:
        return "shared"

    @property
    def cache(self) -> Info:
        return SharedInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Offer the runner to tox.ini."""
    register.add_run_env(SharedVirtualEnvRunner)
