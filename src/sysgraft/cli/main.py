"""The entry point: argument tables, one error handler, exit codes.

Exit 0 means done or yes, 1 a negative verdict, 2 bad usage, bad input or a missing tool, and
128 + N that signal N ended it.
"""

from __future__ import annotations

import argparse
import os
import sys

from sysgraft import __version__
from sysgraft.base.text import one_line
from sysgraft.cli.help import HelpFormatter
from sysgraft.errors import SysgraftError

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs more time than all of --help
    from collections.abc import Callable, Sequence
    from typing import Final

    from sysgraft.cli.output import Output

DESCRIPTION: Final = "Build, sign and verify system extensions and unified kernel images."
EPILOG: Final = """\
example:
  sysgraft ext build firmware ./tree --output . --private-key db.key --certificate db.pem
  sysgraft ext verify firmware.sysext.raw --certificate db.pem
"""
# Each noun with what `sysgraft --help` says of it and an example; its module has the rest.
NOUNS: Final = {
    "ext": (
        "system extension images (sysext and confext)",
        "sysgraft ext verify firmware.sysext.raw --certificate db.pem",
    ),
    "uki": (
        "unified kernel images and addons",
        "sysgraft uki build --linux vmlinuz --initrd initrd.img --output linux.efi",
    ),
    "policy": (
        "image policies: what a disk image may consist of",
        "sysgraft policy show @sysext-strict",
    ),
    "keys": (
        "keys of Secure Boot, PCR policies and extensions",
        "sysgraft keys generate mykeys --output keys",
    ),
    "pcr": (
        "PCR values: predicted, signed, checked and explained",
        "sysgraft pcr predict --uki linux.efi --extra firmware.sysext.raw",
    ),
    "firmware": (
        "firmware by hardware: what a machine has, needs and lacks",
        "sysgraft firmware doctor --extension firmware.sysext.raw",
    ),
    "node": (
        "extensions on a node: installed, enabled for boot entries, activated",
        "sysgraft node install https://example.org/firmware.sysext.raw",
    ),
    "kernel": (
        "kernels on the boot partition: installed, tried, made the default, removed",
        "sysgraft kernel install linux.efi --tries 3 --keep 3",
    ),
    "media": (
        "media that boot: disk and ISO images with UKIs, keys and extensions",
        "sysgraft media disk --output install.img --uki active=linux.efi --keys keys",
    ),
    "disk": (
        "discoverable partitions: what systemd finds on a disk by their types",
        "sysgraft disk check /dev/sda --root /mnt/sysroot",
    ),
    "lab": (
        "boot what you are about to ship, in a virtual machine",
        "sysgraft lab run --uki linux.efi --extra firmware.sysext.raw --script check.sh",
    ),
    "completion": (
        "print a shell completion script",
        "sysgraft completion bash > ~/.local/share/bash-completion/completions/sysgraft",
    ),
}
# What shells call the exit of a program that a signal ended: 128 and the signal's number.
SIGNAL_BASE: Final = 128
SIGINT: Final = 2
DEBUG_VARIABLE: Final = "SYSGRAFT_DEBUG"
_BUG_HINT: Final = f"this is a bug in sysgraft; set {DEBUG_VARIABLE}=1 to see where"


def build_parser(noun: str | None = None, verb: str | None = None) -> argparse.ArgumentParser:
    """The command line as an argparse parser.

    Args:
        noun: the only one whose verbs are wanted; None for all of them.
        verb: the only one whose options are wanted; None for all of them.
    """
    parser = argparse.ArgumentParser(
        prog="sysgraft",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sysgraft {__version__}")
    nouns = parser.add_subparsers(title="nouns", metavar="NOUN", required=True)
    for name, (summary, example) in NOUNS.items():
        child = nouns.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {example}\n",
            formatter_class=HelpFormatter,
        )
        if noun in (None, name):
            _fill(name, child, verb)
    return parser


def _fill(noun: str, parser: argparse.ArgumentParser, verb: str | None) -> None:
    from importlib import import_module  # noqa: PLC0415  not needed for --help

    from sysgraft.cli import verbs  # noqa: PLC0415

    module = import_module(f"sysgraft.cli.{noun}")
    known = getattr(module, "VERBS", ())
    if verb is not None and any(each.name == verb for each in known):
        verbs.fill(parser, known, only=verb)
    else:
        module.fill(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; argparse itself exits 2 on bad usage."""
    _prepare_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["node"]:
        from sysgraft.cli.node import as_of_kairos  # noqa: PLC0415  the noun is wanted anyhow

        words = as_of_kairos(words)
    arguments = build_parser(*(words[:2] or [""])).parse_args(words)
    from sysgraft.host.signals import Terminated  # noqa: PLC0415  not needed for --help

    try:
        return _run(arguments)
    except KeyboardInterrupt:
        _say("interrupted")
        return SIGNAL_BASE + SIGINT
    except Terminated as end:
        _say(f"ended by {end}")
        return SIGNAL_BASE + end.number
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is left to say, and nobody to hear it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if getattr(arguments, "debug", False) or os.environ.get(DEBUG_VARIABLE):
            raise
        _report(_explained(error))
    return 2


def _run(arguments: argparse.Namespace) -> int:
    from sysgraft.cli.output import Output  # noqa: PLC0415
    from sysgraft.host.signals import terminations_as_exceptions  # noqa: PLC0415

    run: Callable[[argparse.Namespace, Output], int] = arguments.run
    with terminations_as_exceptions():
        code = run(arguments, Output(json_wanted=getattr(arguments, "json", False)))
        sys.stdout.flush()
    return code


def _explained(error: Exception) -> SysgraftError:
    """What to tell of an error; one that nobody foresaw must not look like a negative verdict."""
    if isinstance(error, SysgraftError):
        return error
    if isinstance(error, OSError):
        return SysgraftError(error.strerror or str(error), file=str(error.filename or ""))
    return SysgraftError(f"unexpected {type(error).__name__}: {error}", hint=_BUG_HINT)


def _prepare_streams() -> None:
    """Make sure that whatever an image is called can be printed, and that there is a place for it.

    A stream that was closed before the start is None in Python.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for good
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report(error: SysgraftError) -> None:
    _say(f"error: {error}")
    if error.hint:
        _say(f"hint: {error.hint}")


def _say(line: str) -> None:
    """One line on stderr; where that cannot be written to, the exit code has to do."""
    try:
        print(one_line(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for good


def entry() -> None:
    """The console script."""
    sys.exit(main())
