"""Index a kernel's folder: what its modules are for, need, and ask for.

Everything comes from the modules themselves, so that a folder depmod never saw will do; what
``modules.alias``, ``modules.dep`` and the other files of depmod say beyond that is kept too.
A module whose file has the digest it has in an older index is not decompressed again. A module
that cannot be read is reported and left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, InputError, LimitError
from sysgraft.firmware.closure import closure
from sysgraft.firmware.index import MAX_MODULES, Kernel, Module
from sysgraft.formats import elf, modinfo, modules_index
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import Compression, Decompressor, detect
from sysgraft.formats.modinfo import ModuleInfo
from sysgraft.formats.stream import BlobSource
from sysgraft.host.files import OpenFile, Seen
from sysgraft.host.folders import walk
from sysgraft.host.parallel import MAX_SHARDS, Crew
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.firmware.index import Names

MAX_STORED: Final = 256 << 20
"""Bytes of a module's file. The largest of Debian's has 20 MB, with its debug symbols 300."""
MAX_PLAIN: Final = 512 << 20
"""Bytes of a module, decompressed."""

MAX_REACHED: Final = 5_000_000
"""Dependencies of all modules that are followed; Debian's are 40,000."""

_PLACES: Final = ("usr/lib/modules", "lib/modules")
_SMALL: Final = 64  # files that are not worth a second worker


class _File(NamedTuple):
    path: str
    place: bytes
    status: os.stat_result

    @property
    def size(self) -> int:
        return self.status.st_size


class _Read(NamedTuple):
    """What a worker found; `module` is None for one that is as it was, or that has a `problem`."""

    path: str
    module: Module | None
    problem: str


def find_kernels(folder: str) -> list[str]:
    """The folders of kernels' modules a path means: one of them, their parent, or a root.

    Raises:
        InputError: there are none.
    """
    if _is_kernel(folder):
        return [folder]
    for parent in (*(os.path.join(folder, place) for place in _PLACES), folder):
        names = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
        found = [os.path.join(parent, name) for name in names]
        if kernels := [each for each in found if _is_kernel(each)]:
            return kernels
    raise InputError(
        "there are no kernel modules",
        file=folder,
        hint="give usr/lib/modules/RELEASE, or a root that has usr/lib/modules",
    )


def _is_kernel(folder: str) -> bool:
    marks = ("kernel", "modules.dep", "modules.order", "modules.builtin")
    return any(os.path.exists(os.path.join(folder, mark)) for mark in marks)


def index_kernel(folder: str, old: Mapping[str, Kernel], progress: Progress) -> Kernel:
    """Read a kernel's folder.

    Args:
        folder: ``…/lib/modules/RELEASE``.
        old: kernels of an older index by release.
        progress: told the bytes of modules that were read.

    Raises:
        InputError: the folder cannot be read.
        LimitError: it has more than `MAX_MODULES` modules.
    """
    release = os.path.basename(os.path.abspath(folder))
    before = old.get(release)
    known = {module.path: module for module in before.modules} if before else {}
    modules, problems = list(_built_in(folder)), []
    for read in _read_all(list(_module_files(folder)), known, progress):
        if read.problem:
            problems.append(f"{read.path}: {read.problem}")
        else:
            modules.append(read.module or known[read.path])
    modules.sort(key=lambda module: (module.name, module.path))
    names = (module.architecture for module in modules if module.architecture)
    return Kernel(
        release=release,
        architecture=next(names, ""),
        modules=tuple(modules),
        aliases=_more_aliases(folder, modules),
        depends=_more_dependencies(folder, modules),
        soft=_more(_soft_file(folder), {module.name: module.soft for module in modules}),
        weak=_more(_weak_file(folder), {module.name: module.weak for module in modules}),
        problems=tuple(sorted(problems)),
    )


def _module_files(folder: str) -> Iterator[_File]:
    count = 0
    for found in walk(folder):
        path = found.path.decode("utf-8", "backslashreplace")
        if not stat.S_ISREG(found.status.st_mode) or not modules_index.name_of(path):
            continue
        count += 1
        if count > MAX_MODULES:
            raise LimitError(f"more than {MAX_MODULES} modules", file=folder)
        yield _File(path, found.place, found.status)


def _read_all(
    files: Sequence[_File], known: Mapping[str, Module], progress: Progress
) -> Iterator[_Read]:
    """Read all modules, on all cores."""
    shards = min(MAX_SHARDS, max(1, len(files) // _SMALL * 4))
    # The largest first, and each shard some of every size.
    files = sorted(files, key=lambda file: (-file.size, file.path))
    shares = [files[number::shards] for number in range(shards)]
    progress.start("reading modules", sum(file.size for file in files))

    def work(shard: int) -> list[_Read]:
        return [_read(file, known.get(file.path)) for file in shares[shard]]

    with Crew(work, shards, workers=1 if len(files) < _SMALL else None) as crew:
        for shard, result in crew:
            progress.advance(sum(file.size for file in shares[shard]))
            yield from result  # type: ignore[misc]  # what `work` returned
    progress.finish()


def _read(file: _File, known: Module | None) -> _Read:
    try:
        data = _stored(file)
        digest = hashlib.sha256(data).digest()
        if known is not None and known.digest == digest:
            return _Read(file.path, None, "")
        blob = BytesBlob(_decompressed(data))
        return _Read(file.path, _module(file.path, digest, blob), "")
    except FormatError as error:
        return _Read(file.path, None, error.message)


def _stored(file: _File) -> bytes:
    """The bytes of a module's file; of the size it has, for thousands are read."""
    seen = Seen.of(file.status)
    if seen.size > MAX_STORED:
        raise LimitError(f"a module of {seen.size} bytes, the limit is {MAX_STORED}")
    with OpenFile(os.fsdecode(file.place), expected=seen, follow=False) as blob:
        return blob.read_at(0, seen.size)


def _decompressed(data: bytes) -> bytes:
    kind = detect(data[:512])
    if kind is Compression.NONE:
        return data
    allowance = Allowance(Limits(output=MAX_PLAIN, free=MAX_PLAIN))
    return Decompressor(BlobSource(BytesBlob(data)), kind, allowance).read(MAX_PLAIN)


def _module(path: str, digest: bytes, blob: Blob) -> Module:
    return _described(
        modinfo.parse(blob),
        name=modules_index.name_of(path),
        path=path,
        digest=digest,
        architecture=elf.architecture(blob),
    )


def _described(
    info: ModuleInfo, *, name: str, path: str, digest: bytes, architecture: str
) -> Module:
    soft = [modules_index.soft_dependency(text) for text in info.values("softdep")]
    weak = [each for text in info.values("weakdep") for each in text.split()]
    return Module(
        name=name,
        path=path,
        digest=digest,
        aliases=_unique(info.values("alias")),
        depends=_unique(map(modules_index.underscored, info.depends)),
        soft=_unique(each for both in soft for names in both for each in names),
        weak=_unique(map(modules_index.underscored, weak)),
        firmware=_unique(info.values("firmware")),
        architecture=architecture,
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _built_in(folder: str) -> Iterator[Module]:
    """Modules that are part of the kernel's image."""
    fields = modules_index.built_in_info(_text_file(folder, "modules.builtin.modinfo"))
    names = modules_index.built_in(_text_file(folder, "modules.builtin"))
    for name in sorted({*names, *fields}):
        info = ModuleInfo(fields.get(name, ()))
        yield _described(info, name=name, path="", digest=b"", architecture="")


def _text_file(folder: str, name: str) -> bytes:
    """A file depmod wrote; nothing where it did not."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return b""
    return read_small(path, modules_index.MAX_SIZE, name)


def _more_aliases(folder: str, modules: Iterable[Module]) -> tuple[tuple[str, str], ...]:
    own = {(pattern, module.name) for module in modules for pattern in module.aliases}
    found = modules_index.aliases(_text_file(folder, "modules.alias"))
    return tuple(dict.fromkeys(each for each in found if each not in own))


def _more_dependencies(folder: str, modules: Iterable[Module]) -> tuple[Names, ...]:
    listed = modules_index.dependencies(_text_file(folder, "modules.dep"))
    own = {module.name: module.depends for module in modules}
    closed: dict[str, frozenset[str]] = {}
    steps = 0
    for name in listed:
        # Beyond the limit what a module says itself is listed once more, which does no harm.
        within = steps < MAX_REACHED
        closed[name] = frozenset(closure((name,), own) if within else own.get(name, ()))
        steps += len(closed[name])
    return _more(listed, closed)


def _soft_file(folder: str) -> dict[str, tuple[str, ...]]:
    found = modules_index.soft_dependencies(_text_file(folder, "modules.softdep"))
    return {name: each.before + each.after for name, each in found.items()}


def _weak_file(folder: str) -> dict[str, tuple[str, ...]]:
    return modules_index.weak_dependencies(_text_file(folder, "modules.weakdep"))


def _more(
    found: Mapping[str, tuple[str, ...]], own: Mapping[str, Iterable[str]]
) -> tuple[Names, ...]:
    """What was found of modules that they do not say themselves."""
    rest = []
    for name, names in sorted(found.items()):
        known = frozenset(own.get(name, ()))
        rest.append((name, _unique(each for each in names if each not in known)))
    return tuple((name, names) for name, names in rest if names)
