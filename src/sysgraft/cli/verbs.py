"""How a noun gets its verbs: option tables, and work that is loaded when the verb runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sysgraft.cli.help import HelpFormatter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from sysgraft.cli.output import Output

# What argparse's add_argument takes, in the order --help shows them.
Options: TypeAlias = list[tuple[tuple[str, ...], dict[str, Any]]]


class Verb(NamedTuple):
    """A verb.

    Attributes:
        name: as it is typed.
        summary: one line for the noun's help.
        options: its arguments.
        examples: what stands below them.
        module: has the function.
        function: takes the arguments and the output, gives the exit code.
    """

    name: str
    summary: str
    options: Options
    examples: str
    module: str
    function: str = "run"


def fill(noun: argparse.ArgumentParser, verbs: Iterable[Verb], only: str | None = None) -> None:
    """Add the verbs to a noun.

    Args:
        noun: its parser.
        verbs: all of them.
        only: the one whose options are wanted; None for all.
    """
    parsers = noun.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in verbs:
        if only not in (None, verb.name):
            continue
        parser = parsers.add_parser(
            verb.name,
            help=verb.summary,
            description=verb.summary[0].upper() + verb.summary[1:] + ".",
            epilog=verb.examples,
            formatter_class=HelpFormatter,
        )
        for flags, settings in verb.options:
            parser.add_argument(*flags, **settings)
        parser.set_defaults(run=_lazily(verb.module, verb.function))


def _lazily(module: str, name: str) -> Callable[[argparse.Namespace, Output], int]:
    """A verb's function, loaded when it runs."""

    def run(arguments: argparse.Namespace, out: Output) -> int:
        function: Callable[[argparse.Namespace, Output], int] = getattr(import_module(module), name)
        return function(arguments, out)

    return run
