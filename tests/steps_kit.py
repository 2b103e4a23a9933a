"""Commands that are cut short at any step.

A power cut is an exception at the K-th call that changes something, and at every later one, so that
nothing is tidied up either. A failure is an error of that call alone.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS: Final = ("mkdir", "rename", "replace", "rmdir", "unlink", "link", "symlink", "fsync")


class PowerCutError(BaseException):
    """Nothing happens any more."""


@dataclass
class Steps:
    """Counts calls that change something; from one of them on, or at it alone, they fail.

    Attributes:
        at: the number of the step that fails; 0 for none.
        cut: whether that is a power cut.
        done: how many were begun.
    """

    at: int = 0
    cut: bool = True
    done: int = 0
    names: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        self.done += 1
        self.names.append(name)
        if not self.at or self.done < self.at:
            return
        if self.cut:
            raise PowerCutError(name)
        if self.done == self.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **more: Any) -> Any:
            self.step(name)
            return call(*arguments, **more)

        return stepped


def half_copied(steps: Steps) -> Callable[..., None]:
    """Stands for `sysgraft.host.synced.copy_synced`; in the middle of each copy is a step."""

    def copied(source: str, target: str, **_: Any) -> None:
        with open(source, "rb") as incoming, open(target, "xb") as outgoing:
            outgoing.write(incoming.read(3))
            outgoing.flush()
            steps.step("copy")
            outgoing.write(incoming.read())
            outgoing.flush()
            os.fsync(outgoing.fileno())

    return copied
