"""``sysgraft ext``: its verbs; the work is in the ``ext_*`` modules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sysgraft.cli import ext_options as options
from sysgraft.cli.help import HelpFormatter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sysgraft.cli.output import Output

# verb, one-line help, options, examples, module that runs it
VERBS: Final[list[tuple[str, str, options.Options, str, str]]] = [
    (
        "build",
        "make an extension image",
        options.BUILD,
        options.BUILD_EXAMPLE,
        "sysgraft.cli.ext_build",
    ),
    (
        "inspect",
        "tell what an image is",
        options.INSPECT,
        options.INSPECT_EXAMPLE,
        "sysgraft.cli.ext_inspect",
    ),
    (
        "verify",
        "prove that an image is genuine",
        options.VERIFY,
        options.VERIFY_EXAMPLE,
        "sysgraft.cli.ext_verify",
    ),
    (
        "sign",
        "sign an image, or exchange its signature",
        options.SIGN,
        options.SIGN_EXAMPLE,
        "sysgraft.cli.ext_sign",
    ),
    (
        "unsign",
        "take the signature out of an image",
        options.UNSIGN,
        options.UNSIGN_EXAMPLE,
        "sysgraft.cli.ext_unsign",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = noun.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb, summary, table, examples, module in VERBS:
        parser = verbs.add_parser(
            verb,
            help=summary,
            description=summary.capitalize() + ".",
            epilog=examples,
            formatter_class=HelpFormatter,
        )
        for flags, settings in table:
            parser.add_argument(*flags, **settings)
        parser.set_defaults(run=_lazily(module))


def _lazily(module: str) -> Callable[[argparse.Namespace, Output], int]:
    """A verb's function, loaded when it runs."""

    def run(arguments: argparse.Namespace, out: Output) -> int:
        function: Callable[[argparse.Namespace, Output], int] = import_module(module).run
        return function(arguments, out)

    return run
