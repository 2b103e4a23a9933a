"""The entry point: argument tables, one error handler, exit codes.

Exit 0 means done or yes, 1 a negative verdict, 2 bad usage, bad input or a missing tool.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from sysgraft import __version__
from sysgraft.errors import SysgraftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.cli.output import Output

DESCRIPTION: Final = "Build, sign, inspect and verify system extension images."
EPILOG: Final = """\
example:
  sysgraft ext build firmware ./tree --output . --private-key db.key --certificate db.pem
  sysgraft ext verify firmware.sysext.raw --certificate db.pem
"""
INTERRUPTED: Final = 130


def build_parser() -> argparse.ArgumentParser:
    """The whole command line as an argparse parser."""
    from sysgraft.cli import completion, ext, policy  # noqa: PLC0415  cheap, but needed here only

    parser = argparse.ArgumentParser(
        prog="sysgraft",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sysgraft {__version__}")
    nouns = parser.add_subparsers(title="nouns", metavar="NOUN", required=True)
    for module in (ext, policy, completion):
        module.register(nouns)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; argparse itself exits 2 on bad usage."""
    arguments = build_parser().parse_args(argv)
    from sysgraft.cli.output import Output  # noqa: PLC0415  not needed for --help

    out = Output(json_wanted=getattr(arguments, "json", False))
    try:
        return _run(arguments, out)
    except SysgraftError as error:
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
