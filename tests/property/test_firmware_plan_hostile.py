"""Whatever kernels, firmware trees, indexes and plans hold, there is an answer or an error."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_kit import machine, module
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.firmware.index import MAGIC, Entry, Index, Kernel, Module, parse_index, render_index
from sysgraft.firmware.plan import Planner, PlanOptions
from sysgraft.firmware.plan_document import parse_plan, render_plan
from sysgraft.firmware.tree_view import TreeView
from sysgraft.formats import appstream, elf, modules_index, whence
from sysgraft.formats.alias_table import AliasTable
from sysgraft.formats.glob import Glob
from sysgraft.host.zstd import compress

NAMES = st.text("ab./*?[-]", min_size=1, max_size=12)
PLAIN = st.from_regex(r"[ab]{1,2}(/[ab]{1,2}){0,2}(\.zst)?", fullmatch=True)
LINES = st.text('Driver: File:RawLnk->"\\ab./-\n\r\x00é', max_size=200)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for parse in (
        appstream.parse,
        whence.parse,
        parse_index,
        parse_plan,
        modules_index.aliases,
        modules_index.dependencies,
        modules_index.soft_dependencies,
        modules_index.weak_dependencies,
        modules_index.built_in,
        modules_index.built_in_info,
    ):
        try:
            parse(data)
        except FormatError:
            continue


@given(LINES)
def test_any_whence(text: str) -> None:
    found = whence.parse(text.encode())
    for record in found.records:
        for entry in record.entries:
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
        record.licence_files()


@given(st.text("<component>provides/firmware!DOCTYPE[&;]\"' ", max_size=120))
def test_any_metainfo(text: str) -> None:
    try:
        appstream.parse(text.encode())
    except FormatError:
        return


@given(st.integers(0, 65535), st.binary(max_size=4))
def test_the_architecture_of_a_changed_module(machine_number: int, part: bytes) -> None:
    data = bytearray(module([("alias", "a")], machine=machine_number))
    data[4 : 4 + len(part)] = part
    try:
        assert isinstance(elf.architecture(BytesBlob(bytes(data))), str)
    except FormatError:
        return


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_globs_are_fnmatch(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) is fnmatchcase(text, pattern)


@given(st.lists(st.tuples(st.text("ab*?[]!-\\", max_size=10), st.just("x")), max_size=8), NAMES)
def test_a_table_finds_what_its_patterns_match(entries: list[tuple[str, str]], text: str) -> None:
    AliasTable(entries).look_up(text)


@given(st.dictionaries(PLAIN, st.one_of(st.just(""), NAMES), max_size=12), NAMES)
def test_any_tree_of_links(links: dict[str, str], name: str) -> None:
    """Loops, links out of the tree, links to folders, files within files."""
    view = TreeView(Entry(path, 1, links[path], 0, b"") for path in sorted(links))
    found = view.ask(name, "6.1")
    if found is not None:
        assert found.entry.path in links
        assert links[found.entry.path] == ""
        assert all(links[link.path] for link in found.links)
    for each in view.expand(name, "6.1"):
        assert ".." not in each.split("/")


MODULES = st.builds(
    Module,
    name=st.sampled_from("abc"),
    path=st.sampled_from(["kernel/a.ko", "kernel/drivers/scsi/b.ko", ""]),
    digest=st.just(b""),
    aliases=st.lists(st.text("pci:*?[a]", max_size=8), max_size=3).map(tuple),
    depends=st.lists(st.sampled_from("abcd"), max_size=3).map(tuple),
    soft=st.lists(st.sampled_from("abcd"), max_size=3).map(tuple),
    weak=st.lists(st.sampled_from("abcd"), max_size=3).map(tuple),
    firmware=st.lists(NAMES, max_size=4).map(tuple),
    architecture=st.just(""),
)


@settings(max_examples=60)
@given(
    st.lists(MODULES, max_size=4),
    st.dictionaries(PLAIN, st.one_of(st.just(""), NAMES), max_size=8),
    st.sampled_from(["driver", "device"]),
)
def test_any_index_gives_a_plan(modules: list[Module], files: dict[str, str], level: str) -> None:
    kernel = Kernel("6.1", "x86-64", tuple(modules), (), (), (), (), ())
    entries = tuple(Entry(path, 1, files[path], 0, b"") for path in sorted(files))
    index = parse_index(render_index(Index((kernel,), entries, (), (), ())))
    options = PlanOptions(level=level)  # type: ignore[arg-type]  # one of its two
    plan = Planner(index).plan([machine("pci:a", modules=("a", "b"))], options)
    assert parse_plan(render_plan(plan)) == plan


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(), st.binary()), st.lists, max_leaves=20
    )
)
def test_any_message_is_no_index(value: object) -> None:
    try:
        data = msgspec.msgpack.encode(value)
    except OverflowError:
        return
    try:
        parse_index(MAGIC + b"".join(compress([data], 1)))
    except FormatError:
        return
