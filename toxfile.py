"""Loaded by tox: the runner `shared`, for environments that use one virtual environment.

tox keeps the name of an environment in its folder, and makes the folder anew for another name.
Here the name that is kept is always the same, so that torch is installed once. A change of the
dependencies, of Python or of tox's own settings is noticed as ever.
"""

from contextlib import AbstractContextManager
from typing import Any

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class SharedInfo(Info):
    """What tox remembers of a virtual environment, under one name for all that use it."""

    def compare(
        self, value: Any, section: str, sub_section: str | None = None
    ) -> AbstractContextManager[tuple[bool, Any]]:
        """Compare with what is remembered, and remember `value`, but for the name."""
        if section == ToxEnv.__name__:
            value = {**value, "name": "shared"}
        return super().compare(value, section, sub_section)


class SharedRunner(VirtualEnvRunner):
    """tox's own runner, with that memory."""

    @staticmethod
    def id() -> str:
        """What `runner =` in tox.ini says."""
        return "shared"

    @property
    def cache(self) -> Info:
        return SharedInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Make the runner known to tox."""
    register.add_run_env(SharedRunner)
