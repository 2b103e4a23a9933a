"""How help is laid out; apart so that it costs little to load."""

from __future__ import annotations

import argparse
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_NO_TERMINAL: Final = 80


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks, and finds the width without `shutil`, which loads the compressors."""

    def __init__(self, prog: str, **settings: Any) -> None:  # noqa: ANN401  argparse's own
        settings.setdefault("width", _width() - 2)
        super().__init__(prog, **settings)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """``--output, -o FILE``, as Python writes it since 3.13; before, FILE came twice."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        metavar = self._get_default_metavar_for_optional(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, metavar)}"


def _width() -> int:
    """Columns: of ``$COLUMNS``, else of the terminal, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or _NO_TERMINAL
    except OSError:
        return _NO_TERMINAL
