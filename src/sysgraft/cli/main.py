"""The entry point: argument tables, one error handler, exit codes.

Exit 0 means done or yes, 1 a negative verdict, 2 bad usage, bad input or a missing tool.
"""

from __future__ import annotations

import argparse
import os
import sys

from sysgraft import __version__
from sysgraft.cli.help import HelpFormatter
from sysgraft.errors import SysgraftError

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs more time than all of --help
    from collections.abc import Callable, Sequence
    from typing import Final

    from sysgraft.cli.output import Output

DESCRIPTION: Final = "Build, sign, inspect and verify system extension images."
EPILOG: Final = """\
example:
  sysgraft ext build firmware ./tree --output . --private-key db.key --certificate db.pem
  sysgraft ext verify firmware.sysext.raw --certificate db.pem
"""
# Each noun, and what `sysgraft --help` says of it; its module has the rest.
NOUNS: Final = {
    "ext": "system extension images (sysext and confext)",
    "policy": "image policies: what a disk image may consist of",
    "completion": "print a shell completion script",
}
INTERRUPTED: Final = 130


def build_parser(noun: str | None = None) -> argparse.ArgumentParser:
    """The command line as an argparse parser.

    Args:
        noun: the only one whose verbs are wanted; None for all of them.
    """
    parser = argparse.ArgumentParser(
        prog="sysgraft",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sysgraft {__version__}")
    nouns = parser.add_subparsers(title="nouns", metavar="NOUN", required=True)
    for name, summary in NOUNS.items():
        child = nouns.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=HelpFormatter,
        )
        if noun in (None, name):
            _fill(name, child)
    return parser


def _fill(noun: str, parser: argparse.ArgumentParser) -> None:
    from importlib import import_module  # noqa: PLC0415  not needed for --help

    import_module(f"sysgraft.cli.{noun}").fill(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; argparse itself exits 2 on bad usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser(words[0] if words else "").parse_args(words)
    from sysgraft.cli.output import Output  # noqa: PLC0415  not needed for --help

    out = Output(json_wanted=getattr(arguments, "json", False))
    try:
        return _run(arguments, out)
    except SysgraftError as error:
        if getattr(arguments, "debug", False):
            raise
        _report(error)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is left to say, and nobody to hear it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        print(f"error: {name}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 2


def _run(arguments: argparse.Namespace, out: Output) -> int:
    run: Callable[[argparse.Namespace, Output], int] = arguments.run
    code = run(arguments, out)
    sys.stdout.flush()
    return code


def _report(error: SysgraftError) -> None:
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def entry() -> None:
    """The console script."""
    sys.exit(main())
