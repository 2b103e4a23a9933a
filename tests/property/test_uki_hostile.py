"""Malformed stubs, kernels, profiles, images: our errors, exit code 2, and nothing left behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import Result, sysgraft
from executables import TABLE, make_pe, uki_pieces
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kernel, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADERS = 0x600
"""The first bytes, where all that is said about the others stands."""


@pytest.fixture(scope="module")
def kit() -> Iterator[Kit]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        kit = make_kit(Path(name), patch)
        signer, owner = make_identity("hostile", kind="p256"), make_identity("hostile PCR")
        kit.file("db.key", signer.key_pem)
        kit.file("db.crt", signer.certificate_pem)
        kit.file("pcr.crt", owner.certificate_pem)
        kit.file("profile.efi", kit.profile("one", "--cmdline=1").read_bytes())
        result = kit.run(
            "--policy-digest",
            f"--pcr-certificate={kit.folder}/pcr.crt",
            *keys(kit),
            f"--join-profile={kit.folder}/profile.efi",
            "--pcr-banks=sha256",
            "--output",
            kit.folder / "uki.efi",
        )
        assert result.code == 0, result.err
        entries = json.loads(result.out)["sha256"]
        signed = {"sha256": [{**each, "pkfp": "", "sig": "AAAA"} for each in entries]}
        kit.file("signed.json", json.dumps(signed))
        # Without its own public key nothing says who has to have signed.
        uki = (kit.folder / "uki.efi").read_bytes()
        kit.file("uki.efi", uki.replace(b".pcrpkey", b".pcrkeys"))
        yield kit


def keys(kit: Kit) -> tuple[str, str]:
    return f"--private-key={kit.folder}/db.key", f"--certificate={kit.folder}/db.crt"


def as_stub(kit: Kit, path: Path, output: Path) -> Result:
    return kit.run(f"--stub={path}", "-o", output)


def as_addon_stub(kit: Kit, path: Path, output: Path) -> Result:
    return kit.run("--cmdline=x", f"--stub={path}", "-o", output, kernel=False)


def as_kernel(kit: Kit, path: Path, output: Path) -> Result:
    return kit.run(f"--linux={path}", *keys(kit), "--sign-kernel", "-o", output)


def as_profile(kit: Kit, path: Path, output: Path) -> Result:
    return kit.run(f"--join-profile={path}", "--measure", "-o", output)


def as_image(kit: Kit, path: Path, output: Path) -> Result:
    signatures = f"--pcrsig=@{kit.folder}/signed.json"
    return sysgraft("uki", "build", f"--join-pcrsig={path}", signatures, "-o", output)


def to_inspect(_kit: Kit, path: Path, output: Path) -> Result:
    result = sysgraft("uki", "inspect", path, "--json", "--all")
    if result.code == 0:
        output.write_text(result.out)
    return result


USES = {
    "stub": (as_stub, "linuxx64.efi.stub"),
    "addon stub": (as_addon_stub, "addonx64.efi.stub"),
    "kernel": (as_kernel, "vmlinuz"),
    "profile": (as_profile, "profile.efi"),
    "image": (as_image, "uki.efi"),
    "inspect": (to_inspect, "uki.efi"),
}
EACH = pytest.mark.parametrize(("use", "name"), USES.values(), ids=USES)


def check(kit: Kit, use: Callable[[Kit, Path, Path], Result], data: bytes) -> Result:
    """Use malformed bytes; what was written is whole, and after an error there is nothing."""
    path, output = kit.file("malformed", data), kit.folder / "malformed.out"
    output.unlink(missing_ok=True)
    result = use(kit, path, output)
    assert "unexpected" not in result.err, result.err
    assert result.code in (0, 2)
    assert output.exists() == (result.code == 0)
    assert result.code == 0 or result.err.startswith("error: ")
    return result


def test_unharmed_they_all_work(kit: Kit) -> None:
    for use, name in USES.values():
        assert check(kit, use, (kit.folder / name).read_bytes()).code == 0, name


@EACH
def test_truncation(kit: Kit, use: Callable[[Kit, Path, Path], Result], name: str) -> None:
    data = (kit.folder / name).read_bytes()
    ends = {
        *range(0, HEADERS, 13),
        *range(HEADERS, len(data), 1021),
        *range(len(data) - 20, len(data)),
    }
    for end in sorted(ends):
        if 0 <= end < len(data):
            assert check(kit, use, data[:end]).code == 2


@EACH
@settings(max_examples=60)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, HEADERS - 1), st.integers(1, 255)), min_size=1, max_size=4
    )
)
def test_changed_bytes(
    kit: Kit, use: Callable[[Kit, Path, Path], Result], name: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray((kit.folder / name).read_bytes())
    for offset, value in changes:
        data[offset] ^= value
    check(kit, use, bytes(data))


NUMBERS = st.one_of(
    st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_F000, 0x0FFF_FFFF]),
    st.integers(0, 0xFFFF_FFFF),
)


@EACH
@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.integers(0, HEADERS // 4 - 1), NUMBERS), min_size=1, max_size=4)
)
def test_changed_numbers(
    kit: Kit, use: Callable[[Kit, Path, Path], Result], name: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray((kit.folder / name).read_bytes())
    for field, value in changes:
        data[4 * field : 4 * field + 4] = value.to_bytes(4, "little")
    check(kit, use, bytes(data))


@EACH
@settings(max_examples=60)
@given(junk=st.binary(max_size=200), start=st.integers(0, HEADERS))
def test_junk(
    kit: Kit, use: Callable[[Kit, Path, Path], Result], name: str, junk: bytes, start: int
) -> None:
    data = (kit.folder / name).read_bytes()
    check(kit, use, data[:start] + junk + data[start + len(junk) :])
    check(kit, use, junk)


# --- Classes of systemd's own tests (src/test/test-pe-binary.c, test/fuzz/fuzz-pe-binary) --------


def sized(name: str, data: bytes, virtual_size: int) -> bytes:
    """An image whose section of that name is longer in memory than in the file."""
    image = bytearray(make_pe(uki_pieces((name, data))))
    at = image.rindex(name.encode().ljust(8, b"\0"), 0, 0x400)
    image[at + 8 : at + 12] = virtual_size.to_bytes(4, "little")
    return bytes(image)


def overlapping() -> bytes:
    """An image whose second section is loaded where the first one is."""
    image = bytearray(make_pe(uki_pieces()))
    first, second = TABLE + 12, TABLE + 40 + 12
    image[second : second + 4] = image[first : first + 4]
    return bytes(image)


MALFORMED = {
    "empty": b"",
    "only a name": b"MZ",
    "no sections": make_pe([]),
    "two kernels": make_pe(uki_pieces((".linux", b"MZ"))),
    "a name that is no text": make_pe(uki_pieces(("Ä", b"x"))),
    "overlapping": overlapping(),
    "a huge padding": sized(".dtb", b"x", 0x7000_0000),
    "a huge text": sized(".pcrsig", b"{}", 0x0300_0000),
    "text that is none": make_pe(uki_pieces((".pcrsig", b"\xff\xfe"))),
    "a profile that is none": make_pe(uki_pieces((".profile", b"\0\xff"))),
    "policies that are none": make_pe(uki_pieces((".pcrsig", b'{"sha256": 7}'))),
    "policies without end": make_pe(uki_pieces((".pcrsig", b"[" * 100_000))),
    "a key that is none": make_pe(
        uki_pieces((".pcrpkey", b"-----BEGIN PUBLIC KEY-----\nAA=A\n-----END PUBLIC KEY-----"))
    ),
    "an SBAT that is none": make_pe([(".sbat", b"\xff")]),
    "a version that is none": make_stub("\u0663"),
    "a kernel without a release": make_kernel("\x01"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_executables_are_refused_or_described(kit: Kit, name: str) -> None:
    for use in {use for use, _ in USES.values()}:
        check(kit, use, MALFORMED[name])


def test_what_is_wrong_with_an_image_is_said(kit: Kit) -> None:
    expected = {
        "two kernels": "the section .linux is there twice",
        "a huge padding": "the section .dtb ends at 0x70007000 in memory, the image at 0x8000",
        "text that is none": "the section .pcrsig is not text in UTF-8",
        "policies that are none": "the PCR signatures of sha256 are not a list",
        "policies without end": "the PCR signatures are not JSON",
        "overlapping": "overlaps",
    }
    for name, problem in expected.items():
        result = check(kit, to_inspect, MALFORMED[name])
        found = result.document["images"][0]["problems"] if result.code == 0 else [result.err]
        assert any(problem in each for each in found), (name, found)
