"""Targets: what kernels and trees of firmware list, and documents about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import SysgraftError
from sysgraft.firmware.index import Entry, Index, Kernel, Module, parse_index, render_index
from sysgraft.firmware.inventory import Device, Machine
from sysgraft.firmware.plan import Planner, PlanOptions
from sysgraft.firmware.plan_document import parse_plan, render_plan
from sysgraft.formats import appstream, debian_copyright, firmware_search, modules_index, whence
from sysgraft.formats.alias_table import AliasTable, normalize
from sysgraft.formats.glob import Glob
from target import Target, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def read_component(data: bytes) -> None:
    """AppStream's metainfo."""
    appstream.parse(data)


def read_whence(data: bytes) -> None:
    """WHENCE of linux-firmware: no path leads out of the tree."""
    for each in whence.parse(data).records:
        each.licence_files()
        for entry in each.entries:
            assert not entry.path.startswith("/")
            assert ".." not in entry.path.split("/")


def read_copyright(data: bytes) -> bool:
    """Debian's copyright files."""
    found = debian_copyright.excerpt(data, ["a/b.bin"])
    assert found is None or len(found) <= len(data) + 200
    return found is not None


def read_modules_index(data: bytes) -> None:
    """Every list that depmod writes, whichever it is."""
    readers: tuple[Callable[[bytes], object], ...] = (
        modules_index.aliases,
        modules_index.dependencies,
        modules_index.soft_dependencies,
        modules_index.weak_dependencies,
        modules_index.built_in,
        modules_index.built_in_info,
    )
    for read in readers:
        read(data)


def read_patterns(data: bytes) -> None:
    """Patterns, a line each, and what they match, the first line."""
    text, *patterns = as_text(data).split("\n")
    table = AliasTable((each, "module") for each in patterns)
    table.look_up(text)
    for each in patterns[:50]:
        try:
            Glob(each).matches(text)
            normalize(each)
        except SysgraftError:
            continue


def read_search(data: bytes) -> None:
    """Names that drivers ask for, and where they are looked for."""
    for name in data.split(b"\n")[:50]:
        firmware_search.place(name, [b"6.1.0"])
        text = as_text(name)
        if firmware_search.is_acceptable(text):
            list(firmware_search.candidates(text, "6.1.0"))


def read_index(data: bytes) -> None:
    """An index of firmware."""
    parse_index(data)


def read_plan(data: bytes) -> None:
    """A plan of firmware."""
    parse_plan(data)


def indexes() -> Sequence[bytes]:
    """A small index."""
    entries = (Entry("a.bin", 5, "", 0, b""), Entry("b.bin", 0, "a.bin", 0, b""))
    return (render_index(Index((), entries, (), (), ())),)


def plans() -> Sequence[bytes]:
    """What a small machine needs of a small index."""
    module = Module(
        name="a",
        path="kernel/a.ko",
        digest=b"",
        aliases=("pci:*",),
        depends=(),
        soft=(),
        weak=(),
        firmware=("a.bin", "b.bin", "gone.bin"),
        architecture="",
    )
    kernel = Kernel("6.1", "x86-64", (module,), (), (), (), (), ())
    entries = (Entry("a.bin", 5, "", 0, b""), Entry("b.bin", 0, "a.bin", 0, b""))
    planner = Planner(Index((kernel,), entries, (), (), ()))
    device = Device(bus="pci", name="0000:00:02.0", modalias="pci:v1", driver="a")
    plan = planner.plan([Machine(devices=(device,), modules=("a",))], PlanOptions(level="driver"))
    return (render_plan(plan),)


TARGETS: Final = (
    Target(
        name="appstream",
        seeds=lambda: (
            (
                b'<?xml version="1.0"?>\n<component type="firmware"><id>b</id><name>n</name>'
                b"<pkgname>cc-1</pkgname><provides><modalias>pci:v*</modalias>"
                b'<firmware type="runtime">x.b</firmware></provides></component>'
            ),
        ),
        read=read_component,
        tokens=(b"<!DOCTYPE x [", b"<!ENTITY a 'b'>", b"&a;", b"<component>", b"]]>", b"<?x?>"),
        weight=10,
    ),
    Target(
        name="whence",
        seeds=lambda: (
            (
                b"----------\n\nDriver: x - y\n\nFile: a/b.bin\nRawFile: c.bin\nVersion: 1\n"
                b"Link: d.bin -> a/b.bin\n\nLicence: Redistributable. See LICENCE.x for details.\n"
            ),
        ),
        read=read_whence,
        tokens=(b"Driver: ", b"File: ", b"Link: ", b" -> ", b"Licence: ", b"-----\n", b"../", b'"'),
        weight=10,
    ),
    Target(
        name="debian-copyright",
        seeds=lambda: (
            (
                b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
                b"\nFiles: a/*\n c?d.bin\nCopyright: x\nLicense: A or B with y exception\n"
                b"\nLicense: A\n text\n\nLicense: B\n text\n .\n more\n"
            ),
        ),
        read=read_copyright,
        tokens=(b"Files: ", b"License: ", b"\n\n", b"*", b"?", b"\\", b" and ", b" with ", b"#"),
        weight=10,
    ),
    Target(
        name="modules-index",
        seeds=lambda: (
            b"alias pci:v*d1sv* demo\nalias usb:* other\n",
            b"kernel/a.ko.xz: kernel/b.ko kernel/c.ko.zst\n",
            b"softdep a pre: b c post: d\nweakdep a b\n",
            b"demo.file=drivers/demo\0demo.license=GPL\0demo.firmware=x.bin\0",
        ),
        read=read_modules_index,
        tokens=(b"alias ", b"softdep ", b"pre:", b"post:", b": ", b".ko", b"\0", b"weakdep "),
        weight=10,
    ),
    Target(
        name="patterns",
        seeds=lambda: (b"pci:v00008086d00001234sv*\npci:v*d*sv*\n*[a-f]?x*\npci:v0000[0-9]*",),
        read=read_patterns,
        tokens=(b"*", b"?", b"[", b"]", b"[!", b"-", b"*?" * 500, b"[a-z]" * 100, b"\n"),
        weight=10,
    ),
    Target(
        name="firmware-search",
        seeds=lambda: (b"rtw88/a.bin\nupdates/6.1.0/x.bin.xz\n6.1.0/y.zst\nz",),
        read=read_search,
        tokens=(b"updates/", b"6.1.0/", b".zst", b".xz", b"../", b"//"),
        weight=6,
    ),
    Target(name="firmware-index", seeds=indexes, read=read_index, weight=8),
    Target(
        name="firmware-plan",
        seeds=plans,
        read=read_plan,
        tokens=(b'"files"', b'"schema"', b'"path"', b'"../x"', b'"early"', b'"needs"'),
        weight=6,
    ),
)
