"""Settings of options that many verbs have, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options


def value(metavar: str, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  argparse's own
    """An option with a value."""
    return {"metavar": metavar, "help": text, **more}


def several(metavar: str, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  argparse's own
    """An option that may be given again."""
    return {
        "metavar": metavar,
        "action": "append",
        "default": [],
        "help": f"{text}; again for more",
        **more,
    }


def switch(text: str) -> dict[str, Any]:
    """An option without a value."""
    return {"action": "store_true", "help": text}


JSON: Final[Options] = [(("--json",), switch("one JSON document on stdout"))]
