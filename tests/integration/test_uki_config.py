"""``uki build`` with ukify's config file: where it is looked for, and who wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from conftest import make_pair
from sysgraft.cli import uki_arguments
from uki_kit import (
    ADDON_LINE,
    HEADER,
    OS_RELEASE,
    Kit,
    make_kit,
    names_of,
    own_sections,
    pcr_signatures,
    section,
)

if TYPE_CHECKING:
    from pathlib import Path

    from command import Result
    from conftest import SigningPair


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    monkeypatch.chdir(kit.folder)
    for name in "abcd":
        kit.file(f"{name}.img", name * 4)
    return kit


@pytest.fixture
def pcr(kit: Kit) -> SigningPair:
    return make_pair(kit.folder, "PCR policies")


def build(kit: Kit, text: str, *words: str) -> Result:
    """``uki build --config`` with a file of this text; kernel, stub and os-release are in it."""
    common = f"[UKI]\nLinux={kit.kernel}\nStub={kit.stub}\nOSRelease={OS_RELEASE.split()[0]}\n"
    kit.file("ukify.conf", common + text)
    return sysgraft("uki", "build", "--config=ukify.conf", "--force", "-o", "x.efi", *words)


def built(kit: Kit, text: str, *words: str) -> Path:
    result = build(kit, text, *words)
    assert result.code == 0, result.err
    return kit.folder / "x.efi"


# --- Which file ----------------------------------------------------------------------------------


def test_the_first_file_of_the_usual_folders_counts(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [str(kit.folder / name) for name in ("etc", "run", "lib")]
    monkeypatch.setattr(uki_arguments, "CONFIG_FOLDERS", folders)
    assert ".cmdline" not in names_of(kit.build("0.efi"))
    kit.file("lib/ukify.conf", "[UKI]\nCmdline=lib\n")
    assert section(kit.build("1.efi"), ".cmdline") == b"lib"
    kit.file("run/ukify.conf", "[UKI]\nCmdline=run\n")
    result = kit.run("-o", "2.efi")
    assert section(kit.folder / "2.efi", ".cmdline") == b"run"
    assert f"config: {kit.folder}/run/ukify.conf (--config= reads none)" in result.err
    own = kit.file("own.conf", "[UKI]\nUname=\n")
    for option in (f"--config={own}", "--config=", "--config=/dev/null"):
        assert ".cmdline" not in names_of(kit.build("3.efi", option, "--force"))


def test_the_usual_folders_are_systemds() -> None:
    assert uki_arguments.CONFIG_FOLDERS == (
        "/etc/systemd",
        "/run/systemd",
        "/usr/local/lib/systemd",
        "/usr/lib/systemd",
    )


def test_a_file_that_is_named_has_to_be_there_and_right(kit: Kit) -> None:
    result = kit.run("--config=nowhere.conf", "-o", "x.efi")
    assert result.code == 2
    assert "nowhere.conf: cannot read the config file: No such file" in result.err
    result = build(kit, "Kernel=x\n")
    assert result.code == 2
    assert "error: ukify.conf: line 5: unknown key Kernel" in result.err
    assert not (kit.folder / "x.efi").exists()


def test_addons_read_no_file(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uki_arguments, "CONFIG_FOLDERS", [str(kit.folder)])
    kit.file("ukify.conf", "[UKI]\nInitrd=a.img\nSBAT=broken\n")
    result = sysgraft(
        "uki", "addon", "--cmdline=x", f"--stub={kit.addon_stub}", "-o", "x.addon.efi"
    )
    assert result.code == 0, result.err
    assert names_of(kit.folder / "x.addon.efi") == [".cmdline", ".sbat"]


def test_an_addon_by_uki_build_reads_the_file(kit: Kit) -> None:
    kit.file("ukify.conf", f"[UKI]\nStub={kit.addon_stub}\nCmdline = a\n  b\n")
    result = sysgraft("uki", "build", "--config=ukify.conf", "-o", "x.addon.efi")
    assert result.code == 0, result.err
    assert own_sections(kit.folder / "x.addon.efi") == [
        (".cmdline", b"a b"),
        (".sbat", (HEADER + ADDON_LINE).encode()),
    ]


# --- Who wins ------------------------------------------------------------------------------------


def test_the_command_line_wins(kit: Kit) -> None:
    text = "Cmdline=file\nUname=\nSplash=a.img\nMicrocode=b.img\n"
    uki = built(kit, text, "--cmdline=line", "--splash=c.img", "--os-release=")
    found = dict(own_sections(uki))
    assert found[".cmdline"] == b"line"
    assert found[".splash"] == b"cccc"
    assert found[".ucode"] == b"bbbb"
    assert not {".osrel", ".uname"} & set(found)


def test_lists_of_the_file_come_first(kit: Kit) -> None:
    text = "Initrd = a.img\n  b.img\nDeviceTreeAuto=a.img b.img\nSBAT=sbat,1\n  one,1,o,o,1,u\n"
    words = (
        "--initrd=c.img",
        "--initrd=d.img",
        "--devicetree-auto=c.img",
        "--sbat=sbat,1\ntwo,1,t,t,1,u",
    )
    uki = built(kit, text, *words)
    assert section(uki, ".initrd") == b"aaaabbbbccccdddd"
    assert [data for name, data in own_sections(uki) if name == ".dtbauto"] == [
        b"aaaa", b"bbbb", b"cccc",
    ]  # fmt: skip
    assert section(uki, ".sbat").decode().splitlines()[-2:] == ["one,1,o,o,1,u", "two,1,t,t,1,u"]


def test_a_firmware_folder_may_have_blanks_in_its_name(kit: Kit) -> None:
    kit.file("fw/a b/f", b"F")
    kit.file("fw/c/f", b"F")
    uki = built(kit, "Firmware=fw/a b\n", "--efifw=fw/c")
    found = [data for name, data in own_sections(uki) if name == ".efifw"]
    assert [b"a b\0" in data for data in found] == [True, False]


def test_a_root_file_system_may_stand_in_the_file(kit: Kit) -> None:
    kit.file("root/etc/x", "x")
    assert section(built(kit, "Initrd=dir:root a.img\n"), ".initrd").endswith(b"aaaa")


def test_switches_can_be_set_back(kit: Kit, pcr: SigningPair) -> None:
    key = f"[PCRSignature:x]\nPCRPrivateKey={pcr.key}\nPhases=enter-initrd\n"
    text = f"SignInitrdPCRs=yes\nPCRBanks=sha256\n{key}"
    assert len(pcr_signatures(built(kit, text))[0]["sha256"]) == 2
    assert len(pcr_signatures(built(kit, text, "--no-sign-initrd-pcrs"))[0]["sha256"]) == 1
    text = text.replace("yes", "no")
    assert len(pcr_signatures(built(kit, text, "--sign-initrd-pcrs"))[0]["sha256"]) == 2
    assert len(pcr_signatures(built(kit, text))[0]["sha256"]) == 1


def test_whether_the_kernel_is_signed(kit: Kit, signing_pair: SigningPair) -> None:
    keys = (f"SecureBootPrivateKey={signing_pair.key}\n"
            f"SecureBootCertificate={signing_pair.certificate}\n")  # fmt: skip
    plain = kit.kernel.read_bytes()
    assert section(built(kit, keys), ".linux") != plain
    assert section(built(kit, keys + "SignKernel=no\n"), ".linux") == plain
    signed = built(kit, keys + "SignKernel=no\n", "--sign-kernel")
    assert section(signed, ".linux") != plain
    assert sysgraft("uki", "verify", signed, *signing(signing_pair)[2:]).code == 0


# --- Keys for PCR policies -----------------------------------------------------------------------


def test_keys_of_the_command_line_come_before_those_of_the_file(
    kit: Kit, pcr: SigningPair, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    text = f"""
PCRBanks = sha256
[PCRSignature:one]
PCRPrivateKey={pcr.key}
PCRCertificate={pcr.certificate}
Phases=enter-initrd
[PCRSignature:two]
Phases = enter-initrd:leave-initrd
  enter-initrd:leave-initrd:sysinit,
PCRPrivateKey={other_pair.key}
PolicyRef=two
"""
    words = (f"--pcr-private-key={signing_pair.key}", "--phases=ready", "--policyref=line")
    (document,) = pcr_signatures(built(kit, text, *words))
    entries = document["sha256"]
    assert [each.get("ref") for each in entries] == ["line", None, "two", "two"]
    assert len({each["pkfp"] for each in entries}) == 3


def test_a_group_needs_its_key(kit: Kit) -> None:
    result = build(kit, "[PCRSignature:initrd]\nPhases=enter-initrd\n")
    assert result.code == 2
    assert "[PCRSignature:initrd] in the config file has no PCRPrivateKey=" in result.err


def test_groups_without_private_keys_are_signed_elsewhere(kit: Kit, pcr: SigningPair) -> None:
    group = f"[PCRSignature:x]\nPCRCertificate={pcr.certificate}\nPhases=enter-initrd\n"
    text = f"PCRBanks=sha256\n{group}"
    uki = built(kit, text, "--policy-digest")
    (entry,) = pcr_signatures(uki)[0]["sha256"]
    assert set(entry) == {"pcrs", "pkfp", "pol", "tbs"}
    result = build(kit, text + f"PCRPrivateKey={pcr.key}\n", "--policy-digest")
    assert result.code == 2
    assert "--policy-digest and --pcr-private-key exclude each other" in result.err


def test_signatures_named_in_the_file_are_for_joining(kit: Kit) -> None:
    result = build(kit, "PCRSig=@signed.json\n")
    assert result.code == 2
    assert "--pcrsig (PCRSig=) needs an image to put the signatures into" in result.err
    result = sysgraft("uki", "build", "--config=ukify.conf", "--join-pcrsig=x.efi", "-o", "y.efi")
    assert "signed.json: cannot read the PCR signatures" in result.err


# --- Other programs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SecureBootSigningTool=pesign\n", "keys in an NSS database (pesign) are not read"),
        ("SecureBootCertificateName=db\n", "keys in an NSS database (pesign) are not read"),
        ("SigningEngine=tpm2\n", "OpenSSL's tpm2 is not used here (--signing-engine)"),
        ("SecureBootPrivateKey=x\n", "go together"),
        ("EFIArch=ia32\n", "images for 'ia32' cannot be built"),
        ("PCRBanks=md5\n", "unknown PCR bank 'md5'"),
        ("[PCRSignature:x]\nPCRPrivateKey=a\nPhases=boot\n", "unknown boot phase 'boot'"),
    ],
)
def test_what_the_file_asks_for_in_vain(kit: Kit, text: str, message: str) -> None:
    result = build(kit, text)
    assert result.code == 2
    assert message in result.err


def test_what_the_file_says_of_new_keys_is_passed_over(kit: Kit) -> None:
    built(
        kit,
        "SecureBootCertificateDir=/etc/pki/pesign\nSecureBootCertificateValidity=365\n"
        "SecureBootCertificateCommonName=x\nSecureBootSigningTool=sbsign\nSigningEngine=pkcs11\n",
    )
