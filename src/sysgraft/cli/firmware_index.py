"""``sysgraft firmware index``."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sysgraft.cli.output import counted, human_size
from sysgraft.errors import UsageError, in_file
from sysgraft.firmware.index import MAX_SIZE, parse_index, render_index
from sysgraft.firmware.make_index import make_index
from sysgraft.host.output import atomic_output
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sysgraft.base.tree import Tree
    from sysgraft.cli.output import Output
    from sysgraft.firmware.index import Index, Kernel


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make an index, and tell what is in it."""
    if not arguments.kernel_tree and not arguments.firmware_tree:
        raise UsageError("nothing to index", hint="give --kernel-tree, --firmware-tree, or both")
    old = read_index(arguments.update) if arguments.update else None
    with (
        atomic_output(arguments.output, replace=arguments.force) as file,
        _trees(arguments.firmware_tree, out) as trees,
    ):
        index = make_index(
            arguments.kernel_tree,
            trees,
            old=old,
            digests=arguments.digests,
            progress=out.progress,
        )
        data = render_index(index)
        file.write(data)
    if arguments.json:
        out.json("firmware.index", 1, _as_json(index, arguments.output, len(data)))
    else:
        _show(index, arguments.output, len(data), out)
    return 0


@contextmanager
def _trees(arguments: Sequence[str], out: Output) -> Iterator[list[str | Tree]]:
    """Folders as they are, other sources opened."""
    trees: list[str | Tree] = []
    with ExitStack() as stack:
        for argument in arguments:
            if os.path.isdir(argument) or not _is_source(argument):
                trees.append(argument)
                continue
            from sysgraft.build.collect import Options, open_tree  # noqa: PLC0415  not for folders

            options = Options(layers="all", whiteouts="drop")
            collected = stack.enter_context(open_tree([argument], options, out.progress))
            trees.append(collected.tree)
        yield trees


def _is_source(argument: str) -> bool:
    """Whether it is a file, or says what kind of source it is."""
    return os.path.isfile(argument) or ":" in argument


def read_index(path: str) -> Index:
    """An index from a file."""
    with in_file(path):
        return parse_index(read_small(path, MAX_SIZE, "firmware index"))


def _problems(index: Index) -> Sequence[str]:
    of_kernels = (f"{k.release}/{each}" for k in index.kernels for each in k.problems)
    return (*of_kernels, *index.problems)


def _show(index: Index, path: str, size: int, out: Output) -> None:
    for problem in _problems(index):
        out.note(f"not read: {problem}")
    rows = [("kernel", _kernel_line(kernel)) for kernel in index.kernels]
    files = [entry for entry in index.entries if not entry.target]
    links = counted(len(index.entries) - len(files), "link")
    total = human_size(sum(entry.size for entry in files))
    rows.append(("firmware", f"{counted(len(files), 'file')} of {total}, {links}"))
    rows.append(("index", f"{path}, {human_size(size)}"))
    out.table(rows)


def _kernel_line(kernel: Kernel) -> str:
    asking = sum(bool(module.firmware) for module in kernel.modules)
    modules = counted(len(kernel.modules), "module")
    return f"{kernel.release} {kernel.architecture}: {modules}, {asking} declare firmware"


def _as_json(index: Index, path: str, size: int) -> dict[str, object]:
    files = [entry for entry in index.entries if not entry.target]
    return {
        "path": path,
        "size": size,
        "kernels": [
            {
                "release": kernel.release,
                "architecture": kernel.architecture or None,
                "modules": len(kernel.modules),
                "declaring": sum(bool(module.firmware) for module in kernel.modules),
            }
            for kernel in index.kernels
        ],
        "files": len(files),
        "links": len(index.entries) - len(files),
        "firmwareSize": sum(entry.size for entry in files),
        "packages": len(index.packages),
        "problems": list(_problems(index)),
    }
