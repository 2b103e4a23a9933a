"""UKIs against Debian 13's ukify: the same inputs and config give the same sections.

What is not the same, and why:

- ukify 257 ends ``.sbat`` with a NUL (262 no longer does). The stub measures it, so values of
  PCR 11 differ too; ours are held against systemd-measure, which is given our sections.
- systemd-measure 257 signs the policies of each bank with the bank's own hash. systemd verifies
  them with SHA-256 only (src/shared/tpm2-util.c), which is what is signed with here, and by
  systemd-measure since its "always sign with SHA256".
- systemd-measure 257 takes ``--dtbauto`` for ``.hwids`` and the other way round. The stub does not.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command import signing, sysgraft
from conftest import make_pair
from sysgraft.cli import uki_arguments
from uki_kit import (
    own_sections,
    paths,
    pcr11,
    pcr_signatures,
    policy,
    section,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from command import Result
    from conftest import Debian13, SigningPair

pytestmark = pytest.mark.oracle("debian-13")

STUBS = "usr/lib/systemd/boot/efi"
THERE = "/mnt/work"
MEASURE = "/usr/lib/systemd/systemd-measure"
BANKS = ("sha1", "sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder that both builders see, under different names."""

    folder: Path
    debian: Debian13

    def ukify(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ukify in the folder."""
        return self.run("ukify", *words, check=check)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of Debian 13 in the folder."""
        argv = ["sh", "-c", f'cd {THERE} && exec "$@"', "sh", *words]
        return self.debian.run(argv, binds={self.folder: THERE}, check=check)

    def inspect(self, name: str) -> dict[str, dict[str, Any]]:
        """What ukify says of an image."""
        found: dict[str, dict[str, Any]] = json.loads(
            self.ukify("inspect", name, "--json=pretty").stdout
        )
        return found

    def both(self, name: str, *words: str) -> tuple[Path, Path]:
        """The image as ukify makes it, and as it is made here."""
        self.ukify("build", *words, f"--output=theirs-{name}")
        result = self.ours(*words, "--output", f"ours-{name}", "--force")
        assert result.code == 0, result.err
        return self.folder / f"theirs-{name}", self.folder / f"ours-{name}"

    def ours(self, *words: str) -> Result:
        """Run ``uki build``; the current folder is the one both see."""
        return sysgraft("uki", "build", *words)


@pytest.fixture
def bench(tmp_path: Path, debian13: Debian13, monkeypatch: pytest.MonkeyPatch) -> Bench:
    folder = tmp_path / "work"
    folder.mkdir()
    (kernel,) = (debian13.root / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, folder / "vmlinuz")
    for name in ("linuxx64.efi.stub", "addonx64.efi.stub"):
        shutil.copy(debian13.root / STUBS / name, folder / name)
    files = {
        "one.img": b"070701" + bytes(999),
        "two.img": b"070701" + bytes(2222),
        "ucode.img": b"ucode" * 77,
        "splash.bmp": b"BM" + bytes(500),
        "board.dtb": dtb("acme,board"),
        "a.dtb": dtb("acme,a"),
        "b.dtb": dtb("acme,b"),
        "os-release": b'ID=bench\nNAME="Bench Linux"\n',
        "cmdline": b"root=/dev/vda2  ro\n",
        "sbat.csv": b"sbat,1,SBAT Version,sbat,1,u\nours,3,Ours,ours,1,u\n",
        "extra.bin": bytes(range(256)) * 5,
        "profile": b"ID=regular\nTITLE=Regular\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for name, number in (("a/b.json", 2), ("a-b.json", 1), ("c.json", 3)):
        path = folder / "hwids" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {"type": "devicetree", "name": f"Board {number}", "compatible": f"acme,{number}"}
        path.write_text(json.dumps({**fields, "hwids": [str(UUID(int=number))]}))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(uki_arguments, "CONFIG_FOLDERS", ())
    return Bench(folder, debian13)


def dtb(compatible: str) -> bytes:
    """A devicetree with a compatible string."""
    text = compatible.encode() + b"\0"
    body = struct.pack(">IIIII", 1, 0, 3, len(text), 0) + text + bytes(-len(text) % 4)
    body += struct.pack(">II", 2, 9)
    strings = b"compatible\0"
    end = 56 + len(body)
    sizes = (end + len(strings), 56, end, 40, 17, 16, 0, len(strings), len(body))
    return struct.pack(">10I", 0xD00DFEED, *sizes) + bytes(16) + body + strings


@pytest.fixture(scope="module")
def pcr_pair(tmp_path_factory: pytest.TempPathFactory) -> SigningPair:
    return make_pair(tmp_path_factory.mktemp("pcr"), "PCR policies")


BASE = ("--linux=vmlinuz", "--stub=linuxx64.efi.stub", "--os-release=@os-release")
EVERYTHING = (
    *BASE,
    "--initrd=one.img",
    "--initrd=two.img",
    "--initrd=one.img",
    "--cmdline= quiet \t splash ",
    "--microcode=ucode.img",
    "--splash=splash.bmp",
    "--devicetree=board.dtb",
    "--devicetree-auto=a.dtb",
    "--hwids=hwids",
    "--sbat=@sbat.csv",
    "--section=.sbom:text",
    "--section=extra:@extra.bin",
)


def same_but_sbat(
    theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]], *others: str
) -> None:
    """Hold two inspections against each other; SBAT differs in the NUL behind it."""
    assert list(ours) == list(theirs), "in the same order"
    for name, fields in theirs.items():
        if name not in (".sbat", *others):
            assert ours[name] == fields, name
    if ".sbat" in theirs:
        assert ours[".sbat"]["text"] == theirs[".sbat"]["text"]
        assert ours[".sbat"]["size"] == theirs[".sbat"]["size"] - 1


# --- Sections ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [BASE, EVERYTHING, (*BASE, "--cmdline=@cmdline", "--os-release=ID=text", "--initrd=one.img")],
    ids=["little", "everything", "from files"],
)
def test_sections_are_the_same(bench: Bench, words: tuple[str, ...]) -> None:
    bench.both("x.efi", *words)
    same_but_sbat(bench.inspect("theirs-x.efi"), bench.inspect("ours-x.efi"))


def test_several_devicetrees_are_the_same(bench: Bench) -> None:
    words = ("--devicetree-auto=a.dtb", "--devicetree-auto=b.dtb", "--devicetree-auto=a.dtb")
    theirs, ours = bench.both("x.efi", *BASE, *words)
    assert [data for name, data in own_sections(ours) if name == ".dtbauto"] == [
        data for name, data in own_sections(theirs) if name == ".dtbauto"
    ]


def test_the_machines_os_release_is_the_default(bench: Bench) -> None:
    release = (bench.debian.root / "etc/os-release").read_bytes()
    bench.ukify("build", *BASE[:2], "--output=theirs.efi")
    assert section(bench.folder / "theirs.efi", ".osrel") == release
    result = bench.ours(*BASE[:2], "--output", "ours.efi")
    assert result.code == 0
    assert section(bench.folder / "ours.efi", ".osrel") != b""


def test_addons_are_the_same(bench: Bench) -> None:
    words = ("--stub=addonx64.efi.stub", "--cmdline=debug  quiet",
             "--initrd=one.img", "--uname=6.1", "--microcode=ucode.img",
             "--devicetree=board.dtb", "--section=.x:y")  # fmt: skip
    bench.both("x.addon.efi", *words)
    theirs, ours = bench.inspect("theirs-x.addon.efi"), bench.inspect("ours-x.addon.efi")
    same_but_sbat(theirs, ours)


def test_profiles_are_the_same(bench: Bench) -> None:
    for name in ("one", "two"):
        words = ("--stub=addonx64.efi.stub", f"--profile=ID={name}", f"--cmdline={name}",
                 "--splash=splash.bmp")  # fmt: skip
        bench.both(f"{name}.profile", *words)
        theirs, ours = (bench.inspect(f"{who}-{name}.profile") for who in ("theirs", "ours"))
        assert ours == theirs
    for builder in ("ours", "theirs"):
        joined = [f"--join-profile={builder}-{name}.profile" for name in ("one", "two")]
        theirs_x, ours_x = bench.both(f"{builder}.efi", *BASE, "--profile=@profile", *joined)
        found, expected = own_sections(ours_x), own_sections(theirs_x)
        assert [each for each in found if each[0] != ".sbat"] == [
            each for each in expected if each[0] != ".sbat"
        ]
        assert [name for name, _ in found] == [name for name, _ in expected]


def test_an_existing_config_builds_with_both(
    bench: Bench, signing_pair: SigningPair, pcr_pair: SigningPair
) -> None:
    for source, name in ((signing_pair.key, "db.key"), (signing_pair.certificate, "db.crt"),
                         (pcr_pair.key, "pcr.key")):  # fmt: skip
        shutil.copy(source, bench.folder / name)
    (bench.folder / "ukify.conf").write_text(
        "# Our images\n"
        "[UKI]\n"
        "Linux = vmlinuz\n"
        "Stub = linuxx64.efi.stub\n"
        "Initrd = one.img  # comes first\n"
        "   two.img\n"
        "Cmdline = root=/dev/vda2 # the system\n"
        "   quiet\n"
        "OSRelease = @os-release\n"
        "Splash = splash.bmp\n"
        "PCRBanks = sha256,sha384\n"
        "SecureBootPrivateKey = db.key\n"
        "SecureBootCertificate = db.crt\n"
        "SignKernel = no\n"
        "\n"
        "[PCRSignature:initrd]\n"
        "  PCRPrivateKey = pcr.key\n"
        "  Phases = enter-initrd\n"
        "[PCRSignature:system]\n"
        "PCRPrivateKey = pcr.key\n"
        "Phases = enter-initrd:leave-initrd\n"
        "   enter-initrd:leave-initrd:sysinit\n"
    )
    theirs_x, ours_x = bench.both("x.efi", "--config=ukify.conf", "--initrd=one.img")
    theirs, ours = bench.inspect("theirs-x.efi"), bench.inspect("ours-x.efi")
    same_but_sbat(theirs, ours, ".pcrsig")
    for image in (theirs_x, ours_x):
        contents = dict(own_sections(image))
        assert contents[".cmdline"] == b"root=/dev/vda2 quiet"
        assert contents[".initrd"][:6] == b"070701"
        (document,) = pcr_signatures(image)
        for bank in ("sha256", "sha384"):
            assert [each["pol"] for each in document[bank]] == [
                policy(pcr11(contents, phase, bank), bank) for phase in paths(3)
            ]
    assert bench.run("sbverify", "--cert", "db.crt", "ours-x.efi").returncode == 0


# --- PCR 11 --------------------------------------------------------------------------------------


_SWAPPED = {".dtbauto": ".hwids", ".hwids": ".dtbauto"}


def to_measure(bench: Bench, image: Path, which: str = "") -> list[str]:
    """systemd-measure's options for the sections of an image; `which` is the devicetree."""
    words = []
    for name, data in own_sections(image):
        if name in (".pcrsig", ".sbom", "extra", ".reloc", ".data", ".rodata"):
            continue
        if name == ".dtbauto" and data != (bench.folder / which).read_bytes():
            continue
        (bench.folder / f"section{name}").write_bytes(data)
        words.append(f"--{_SWAPPED.get(name, name)[1:]}=section{name}")
    return words


@pytest.mark.parametrize(
    ("phases", "which"),
    [
        ((), "a.dtb"),
        (("enter-initrd", "enter-initrd:leave-initrd:sysinit:ready:shutdown"), "b.dtb"),
    ],
)
def test_pcr_11_is_what_systemd_measure_calculates(
    bench: Bench, pcr_pair: SigningPair, phases: Sequence[str], which: str
) -> None:
    words = (f"--pcr-private-key={pcr_pair.key}", "--devicetree-auto=b.dtb", "--profile=@profile")
    more = (f"--phases={','.join(phases)}",) if phases else ()
    result = bench.ours(*EVERYTHING, *words, *more, "--measure", "--json", "--output", "x.efi")
    assert result.code == 0, result.err
    variant = {"a.dtb": ".dtbauto 1", "b.dtb": ".dtbauto 2"}[which]
    found: dict[str, list[dict[str, Any]]] = {bank: [] for bank in BANKS}
    for each in result.document["pcrs"]:
        if each["hardware"] == variant:
            fields = {"phase": each["phase"], "pcr": 11, "hash": each["value"]}
            found[each["bank"]].append(fields)
    options = [f"--phase={phase}" for phase in phases] + [f"--bank={bank}" for bank in BANKS]
    measured = bench.run(
        MEASURE,
        "calculate",
        "--json=short",
        *to_measure(bench, bench.folder / "x.efi", which),
        *options,
    )
    assert found == json.loads(measured.stdout)


def test_signatures_are_those_of_systemd_measure(bench: Bench, pcr_pair: SigningPair) -> None:
    shutil.copy(pcr_pair.key, bench.folder / "pcr.key")
    result = bench.ours(
        *BASE, "--initrd=one.img", f"--pcr-private-key={pcr_pair.key}", "--output", "x.efi"
    )
    assert result.code == 0, result.err
    image = bench.folder / "x.efi"
    (bench.folder / "pub").write_bytes(section(image, ".pcrpkey"))
    banks = [f"--bank={bank}" for bank in BANKS]
    keys = ("--private-key=pcr.key", "--public-key=pub")
    signed = bench.run(MEASURE, "sign", *keys, *banks, *to_measure(bench, image))
    theirs, (ours,) = json.loads(signed.stdout), pcr_signatures(image)
    assert ours["sha256"] == theirs["sha256"]
    for document in (ours, theirs):
        for entry in (each for bank in BANKS for each in document[bank]):
            del entry["sig"]
    assert ours == theirs


def test_the_public_key_is_the_one_systemd_makes(bench: Bench, pcr_pair: SigningPair) -> None:
    shutil.copy(pcr_pair.key, bench.folder / "pcr.key")
    theirs, ours = bench.both("x.efi", *BASE, "--pcr-private-key=pcr.key", "--pcr-banks=sha256")
    assert section(ours, ".pcrpkey") == section(theirs, ".pcrpkey")


def test_values_are_shown_as_ukify_shows_them(bench: Bench) -> None:
    """On what ukify built itself: the rules of this test are its own ones."""
    shown = bench.ukify("build", *BASE, "--measure", "--pcr-banks=sha1,sha256", "--output=x.efi")
    theirs = [line for line in shown.stdout.splitlines() if line.startswith("11:")]
    contents = dict(own_sections(bench.folder / "x.efi"))
    assert theirs == [
        f"11:{bank}={pcr11(contents, phase, bank)}"
        for phase in paths()
        for bank in ("sha1", "sha256")
    ]
    result = bench.ours(*BASE, "--measure", "--pcr-banks=sha1,sha256", "--output", "y.efi")
    contents = dict(own_sections(bench.folder / "y.efi"))
    assert [line for line in result.out.splitlines() if line.startswith("11:")] == [
        f"11:{bank}={pcr11(contents, phase, bank)}"
        for phase in paths()
        for bank in ("sha1", "sha256")
    ]


# --- Reading each other --------------------------------------------------------------------------


def test_our_inspect_says_what_ukify_says(bench: Bench, pcr_pair: SigningPair) -> None:
    shutil.copy(pcr_pair.key, bench.folder / "pcr.key")
    bench.ukify("build", *EVERYTHING, "--pcr-private-key=pcr.key", "--output=x.efi")
    theirs = bench.inspect("x.efi")
    result = sysgraft("uki", "inspect", "x.efi", "--json")
    (image,) = result.document["images"]
    ours = {each["name"]: each for each in image["sections"]}
    assert {name for name in theirs if name != ".sbom"} == set(ours)
    for name, fields in theirs.items():
        if name != ".sbom":
            assert (ours[name]["size"], ours[name]["sha256"]) == (fields["size"], fields["sha256"])
            assert ours[name]["text"] == fields.get("text")
    assert image["kind"] == "uki"
    assert image["stub"]["name"] == "systemd-stub"
    assert image["stub"]["version"].startswith("257.")
    assert image["problems"] == []
    assert image["pcrPolicies"] == {bank: {"signed": 4, "unsigned": 0} for bank in BANKS}
    result = sysgraft("uki", "inspect", "x.efi", "--all", "--json")
    everything = {each["name"] for each in result.document["images"][0]["sections"]}
    assert everything == set(
        json.loads(bench.ukify("inspect", "x.efi", "--all", "--json=short").stdout)
    )


@pytest.mark.oracle("objcopy")
def test_objcopy_reads_ours(bench: Bench) -> None:
    result = bench.ours(*EVERYTHING, "--output", "x.efi")
    assert result.code == 0
    for name in (".linux", ".initrd", ".hwids", ".sbat"):
        subprocess.run(
            ["objcopy", "--dump-section", f"{name}=dumped", "x.efi", "copy.efi"],
            check=True, timeout=60,
        )  # fmt: skip
        assert (bench.folder / "dumped").read_bytes() == section(bench.folder / "x.efi", name)


@pytest.mark.oracle("sbverify", "osslsigncode")
def test_other_tools_verify_ours(bench: Bench, signing_pair: SigningPair) -> None:
    shutil.copy(signing_pair.certificate, bench.folder / "db.crt")
    joined = bench.ours("--stub=addonx64.efi.stub", "--profile=ID=x", "--cmdline=x",
                        "--output", "x.profile")  # fmt: skip
    assert joined.code == 0
    more = ("--join-profile=x.profile", "--sign-kernel")
    assert bench.ours(*EVERYTHING, *more, *signing(signing_pair), "--output", "x.efi").code == 0
    addon = ("--stub=addonx64.efi.stub", "--cmdline=x", "--output", "y.efi")
    assert bench.ours(*addon, *signing(signing_pair)).code == 0
    (bench.folder / "z.efi").write_bytes(section(bench.folder / "x.efi", ".linux"))
    # osslsigncode reads no file with two signatures, as the kernel is now.
    runs = [["sbverify", "--cert", "db.crt", name] for name in ("x.efi", "y.efi", "z.efi")]
    runs += [["osslsigncode", "verify", "-CAfile", "db.crt", "-in", n] for n in ("x.efi", "y.efi")]
    for argv in runs:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("x.efi", "y.efi", "z.efi"):
        listed = bench.run("pesign", "-S", "-i", name).stdout
        assert "The signer's common name is sysgraft test signer" in listed


def test_the_kernel_inside_is_the_one_sbsign_would_sign(
    bench: Bench, signing_pair: SigningPair
) -> None:
    """Both leave the vendor's signature and add theirs behind it."""
    for source, name in ((signing_pair.key, "db.key"), (signing_pair.certificate, "db.crt")):
        shutil.copy(source, bench.folder / name)
    words = ("--secureboot-private-key=db.key", "--secureboot-certificate=db.crt", "--sign-kernel")
    for image in bench.both("x.efi", *BASE, *words):
        (bench.folder / "kernel").write_bytes(section(image, ".linux"))
        listed = bench.run("sbverify", "--list", "kernel").stdout
        assert [line for line in listed.splitlines() if line.startswith(" - /")] == [
            " - /CN=Debian Secure Boot CA",
            " - /O=sysgraft tests/CN=sysgraft test signer",
        ]
        assert bench.run("sbverify", "--cert", "db.crt", "kernel").returncode == 0
    for name in ("theirs-x.efi", "ours-x.efi"):
        assert bench.run("sbverify", "--cert", "db.crt", name).returncode == 0


def test_ukify_refuses_what_is_refused_here(bench: Bench) -> None:
    for words in (
        (*BASE, "--section=.cmdline:x", "--cmdline=x"),
        (*BASE, "--section=.longname1:x"),
        (*BASE, "--phases=ready"),
        (*BASE, "--join-profile=linuxx64.efi.stub"),
        (*BASE, "--secureboot-private-key=x"),
        ("--cmdline=x", "--stub=addonx64.efi.stub"),
    ):
        assert bench.ukify("build", *words, check=False).returncode != 0
        assert bench.ours(*words).code == 2
