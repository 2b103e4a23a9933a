"""Activation on a system in a folder: each image by itself, and what systemd is handed then."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from node_root import KAIROS, OWNER, REVOKED, STRANGER, TRUSTED, Root, listing, make_root
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import InputError
from sysgraft.formats import gpt
from sysgraft.formats.extension_release import Kind
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.node.activate import activate
from sysgraft.node.candidates import MAP, STUB
from sysgraft.node.document import read_activation, write_activation
from sysgraft.node.environment import FILE
from sysgraft.node.settings import Mode
from sysgraft.node.trust import EXPORTED
from sysgraft.testing.certificates import Identity, make_identity
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.node.activation import Activation

STRICT: Final = "root=signed+absent:usr=signed+absent"
LOOSE: Final = "root=verity+signed+unprotected+absent:usr=verity+signed+unprotected+absent"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = make_root(tmp_path)
    root.booted("active")
    return root


def links(root: Root, kind: str = "extensions") -> dict[str, str]:
    """What systemd is handed: targets by name."""
    folder = root.path / "run" / kind
    return {name: os.readlink(folder / name) for name in sorted(os.listdir(folder))}


def states(done: Activation) -> dict[str, tuple[str, str]]:
    return {
        each.candidate.name: (str(each.judgement.state) if each.judgement else "", str(each.fate))
        for each in done.images
    }


def environment(root: Root) -> dict[str, str]:
    lines = (root.path / FILE.lstrip("/")).read_text().splitlines()
    pairs = (line.partition("=") for line in lines)
    return {key: value.strip('"') for key, _, value in pairs}


def configure(root: Root, text: str) -> None:
    root.write("usr/lib/sysgraft/config.toml", text)


def tamper(image: Path, partition: int, offset: int) -> None:
    data = bytearray(image.read_bytes())
    data[gpt.parse(BytesBlob(bytes(data))).partitions[partition].offset + offset] ^= 1
    image.write_bytes(data)


@pytest.fixture
def five(root: Root) -> Root:
    """One image of each kind of trouble, and a good one."""
    root.secure_boot({"dbx": certificate_list(REVOKED.certificate.der, owner=OWNER)})
    root.write("usr/lib/verity.d/revoked.crt", REVOKED.certificate_pem)
    root.put("good", "active")
    tamper(root.put("damaged", "active"), 0, 8192)
    tamper(root.put("tampered", "active"), 1, 4096)
    root.put("unsigned", "active", signer=None)
    root.put("stranger", "active", signer=STRANGER)
    root.put("revoked", "active", signer=REVOKED)
    root.put("misnamed", "active", called="other")
    root.put("foreign", "active", release="ID=fedora\n")
    root.put("arm", "active", release="ID=_any\nARCHITECTURE=arm64\n", architecture="arm64")
    root.put("denied", "active")
    root.write(f"{KAIROS}/extensions/junk.raw", os.urandom(70000))
    root.link(f"{KAIROS}/extensions/active/junk.raw", "../junk.raw")
    configure(root, 'deny = ["den*"]\n')
    return root


FOUND: Final = {
    "arm": "foreign",
    "damaged": "damaged",
    "denied": "",
    "foreign": "foreign",
    "good": "good",
    "junk": "damaged",
    "misnamed": "misnamed",
    "revoked": "revoked",
    "stranger": "untrusted",
    "tampered": "damaged",
    "unsigned": "unsigned",
}


# --- Modes ----------------------------------------------------------------------------------------


def test_enforced_hands_over_what_is_good_and_nothing_else(five: Root) -> None:
    done = activate(five.node())
    assert {name: state for name, (state, _) in states(done).items()} == FOUND
    assert links(five) == {"good.sysext.raw": f"/{KAIROS}/extensions/good.sysext.raw"}
    assert {fate for name, (_, fate) in states(done).items() if name != "good"} == {"skipped"}
    assert not done.ok
    assert (done.mode, done.systemd, done.entry) == (Mode.ENFORCED, 257, "active")
    assert done.profiles == ("active", "common")
    assert environment(five) == {
        "SYSGRAFT_SYSEXT_POLICY": STRICT,
        "SYSGRAFT_CONFEXT_POLICY": "root=signed+absent",
    }
    denied = next(each for each in done.images if each.candidate.name == "denied")
    assert (denied.reason, denied.is_problem) == ("the configuration denies it", False)


@pytest.mark.parametrize("release", [257, 259])
def test_permissive_links_what_this_systemd_can_merge(five: Root, release: int) -> None:
    (five.path / "usr/lib/systemd/libsystemd-shared-257.so").rename(
        five.path / f"usr/lib/systemd/libsystemd-shared-{release}.so"
    )
    configure(five, 'mode = "permissive"\ndeny = ["den*"]\n')
    done = activate(five.node())
    assert {name: state for name, (state, _) in states(done).items()} == FOUND
    expected = {"good", "unsigned", "revoked"} | ({"stranger"} if release >= 259 else set())
    assert {name.partition(".")[0] for name in links(five)} == expected
    warned = {n for n, (_, fate) in states(done).items() if fate == "merged, with a warning"}
    assert warned == expected - {"good"}
    assert environment(five)["SYSGRAFT_SYSEXT_POLICY"] == LOOSE
    assert not done.ok
    # Also whoever was revoked: systemd would wait for that key, and merge.
    assert len(done.certificates) == 2


def test_disabled_looks_at_nothing(five: Root) -> None:
    configure(five, 'mode = "disabled"\ndeny = ["den*"]\n')
    done = activate(five.node())
    assert {state for state, _ in states(done).values()} == {""}
    assert {name.partition(".")[0] for name in links(five)} == FOUND.keys() - {"denied"}


def test_unsigned_images_where_they_are_wanted(root: Root) -> None:
    """As on a machine that GRUB starts: nothing is signed, and one that is tampered stays out."""
    root.put("plain", "active", signer=None)
    tamper(root.put("broken", "active", signer=None), 0, 8192)
    root.put("stranger", "active", signer=STRANGER)
    configure(root, "unsigned = true\n")
    done = activate(root.node())
    assert states(done) == {
        "broken": ("damaged", "skipped"),
        "plain": ("unsigned", "merged"),
        "stranger": ("untrusted", "skipped"),
    }
    assert list(links(root)) == ["plain.sysext.raw"]
    assert environment(root)["SYSGRAFT_SYSEXT_POLICY"] == LOOSE


@pytest.mark.parametrize("text", ['mode = "permissive"\n', "unsigned = true\n"])
def test_what_the_administrator_keeps_out_does_not_end_the_merge(root: Root, text: str) -> None:
    """systemd would refuse the unsigned one by that policy, and with it the good one."""
    root.put("good", "active")
    root.put("plain", "active", signer=None)
    configure(root, f'image_policy = "root=signed+absent"\n{text}')
    done = activate(root.node())
    assert environment(root)["SYSGRAFT_SYSEXT_POLICY"].startswith("root=signed+absent")
    assert list(links(root)) == ["good.sysext.raw"]
    assert states(done)["plain"] == ("unsigned", "skipped")


def test_the_administrators_policy_for_systemd_itself(root: Root) -> None:
    root.put("good", "active")
    root.write("etc/systemd/sysext.conf", "[SysExt]\nImagePolicy=root=encrypted+absent\n")
    done = activate(root.node())
    assert (states(done), links(root)) == ({"good": ("refused", "skipped")}, {})
    assert environment(root)["SYSGRAFT_SYSEXT_POLICY"].startswith("root=absent:usr=absent")


# --- Which images ---------------------------------------------------------------------------------


def test_each_entry_has_what_is_for_it_and_no_more(root: Root) -> None:
    for name, profile in (
        ("a", "active"), ("p", "passive"), ("r", "recovery"), ("c", "common"), ("m", "mine"),
    ):  # fmt: skip
        root.put(name, profile)
    wanted = {"active": "ac", "passive": "cp", "recovery": "cr", "autoreset": "cr", "mine": "cm"}
    for entry, names in {**wanted, "unknown": "c"}.items():
        root.booted(entry)
        done = activate(root.node())
        assert done.ok
        assert list(links(root)) == [f"{name}.sysext.raw" for name in names], entry


def test_links_of_an_earlier_run_go_and_those_of_others_stay(root: Root) -> None:
    root.put("one", "active")
    root.put("two", "active")
    root.write("srv/mine.raw")
    root.link("run/extensions/mine.raw", "/srv/mine.raw")
    root.link("run/extensions/two.sysext.raw", "/srv/elsewhere.raw")
    activate(root.node())
    assert list(links(root)) == ["mine.raw", "one.sysext.raw", "two.sysext.raw"]
    (root.store / "active/one.sysext.raw").unlink()
    activate(root.node())
    assert links(root) == {
        "mine.raw": "/srv/mine.raw",
        "two.sysext.raw": f"/{KAIROS}/extensions/two.sysext.raw",
    }


def test_of_one_name_the_more_particular_counts(root: Root) -> None:
    root.booted("active_debug")
    image = root.image("fw", files={"usr/share/stub": "stub"})
    root.write(f".extra/sysext/{image.name}", image.read_bytes())
    root.put("fw", "common", "active")
    brought = root.image("brought_2")
    root.write(f".extra/sysext/{brought.name}", brought.read_bytes())
    root.put("brought_1", "common")
    root.put("tool_1", "active_debug")
    root.put("tool_2", "active")
    root.put("tool_3", "common")
    root.put("other_1", "active")
    root.put("other_2", "active")
    root.put("iwlwifi-9260", "active")
    root.put("iwlwifi-9000", "active")
    done = activate(root.node())
    assert links(root) == {
        "brought_2.sysext.raw": "/.extra/sysext/brought_2.sysext.raw",
        "fw.sysext.raw": f"/{KAIROS}/extensions/fw.sysext.raw",
        "iwlwifi-9000.sysext.raw": f"/{KAIROS}/extensions/iwlwifi-9000.sysext.raw",
        "iwlwifi-9260.sysext.raw": f"/{KAIROS}/extensions/iwlwifi-9260.sysext.raw",
        "other_2.sysext.raw": f"/{KAIROS}/extensions/other_2.sysext.raw",
        "tool_1.sysext.raw": f"/{KAIROS}/extensions/tool_1.sysext.raw",
    }
    shadowed = {
        each.candidate.file: os.path.basename(each.shadowed_by)
        for each in done.images
        if each.shadowed_by
    }
    assert shadowed == {
        "brought_1.sysext.raw": "brought_2.sysext.raw",
        "fw.sysext.raw": "fw.sysext.raw",
        "tool_2.sysext.raw": "tool_1.sysext.raw",
        "tool_3.sysext.raw": "tool_1.sysext.raw",
        "other_1.sysext.raw": "other_2.sysext.raw",
    }
    assert done.ok


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (".extra/sysext", "sysext"),
        (".extra/global_sysext", "sysext"),
        (".extra/confext", "confext"),
        (".extra/global_confext", "confext"),
        ("run/sysgraft/extra/sysext", "sysext"),
        ("run/sysgraft/extra/global_confext", "confext"),
    ],
)
def test_what_the_stub_has_brought(root: Root, place: str, kind: str) -> None:
    files = {"etc/x": "x"} if kind == "confext" else {"usr/x": "x"}
    for name, signer in (("good", TRUSTED), ("bad", STRANGER)):
        image = root.image(name, kind=Kind(kind), files=files, signer=signer)
        root.write(f"{place}/{image.name}", image.read_bytes())
    root.link(f"{place}/link.raw", "good.sysext.raw")
    root.write(f"{place}/readme.txt")
    done = activate(root.node())
    assert links(root, f"{'extensions' if kind == 'sysext' else 'confexts'}") == {
        f"good.{kind}.raw": f"/{place}/good.{kind}.raw"
    }
    assert {each.candidate.profile for each in done.images} == {STUB}
    assert states(done) == {"bad": ("untrusted", "skipped"), "good": ("good", "merged")}


def test_the_map(root: Root) -> None:
    for name in ("k3sv1.29.1", "k3sv1.29.2", "rke2v1.28", "loose", "everywhere"):
        root.put(name)
    configure(
        root,
        '[[map]]\nextension = "k3sv1.29.*"\nentries = ["active", "mine"]\n'
        '[[map]]\nentry = "recovery"\nextensions = ["rke2v1.28*"]\n'
        '[[map]]\nextension = "everywhere"\nentries = ["common"]\n',
    )
    for entry, names in {
        "active": ["everywhere", "k3sv1.29.2", "loose"],
        "passive": ["everywhere", "loose"],
        "recovery": ["everywhere", "rke2v1.28"],
        "mine": ["everywhere", "k3sv1.29.2"],
        "other": ["everywhere"],
    }.items():
        root.booted(entry)
        done = activate(root.node())
        assert list(links(root)) == [f"{name}.sysext.raw" for name in names], entry
        assert {each.candidate.profile for each in done.images} == {MAP}


@pytest.mark.parametrize("place", [f"{KAIROS}/extensions/common", f"{KAIROS}/confexts"])
def test_a_hostile_folder_takes_nobody_else_along(root: Root, tmp_path: Path, place: str) -> None:
    root.put("one", "active")
    outside = tmp_path / "outside"
    outside.mkdir()
    root.link(place, str(outside))
    done = activate(root.node())
    assert list(links(root)) == ["one.sysext.raw"]
    assert any("symbolic link" in note for note in done.notes)


def test_flaws_are_told(root: Root) -> None:
    root.link(f"{KAIROS}/extensions/active/gone.raw", "../gone.raw")
    root.link(f"{KAIROS}/extensions/common/evil.raw", "/etc/shadow")
    done = activate(root.node())
    assert links(root) == {}
    assert [note.removeprefix(f"{root.store}/") for note in done.notes if "raw:" in note] == [
        "active/gone.raw: the image it leads to is not there",
        "common/evil.raw: it leads to /etc/shadow, not to the image of its name in the store",
    ]


# --- Others' images -------------------------------------------------------------------------------


OTHERS: Final = (("good", TRUSTED), ("bad", STRANGER), ("plain", None))


def others(done: Activation) -> dict[str, bool]:
    """Whether each image of others that must not be merged is kept out."""
    return {os.path.basename(each.path): each.masked for each in done.others}


def masks(root: Root) -> list[str]:
    run = root.path / "run/extensions"
    found = sorted(name for name in os.listdir(run) if not os.path.islink(run / name))
    assert all(os.listdir(run / name) == [] for name in found)
    return found


def test_others_images_that_the_node_would_not_take_are_masked(root: Root) -> None:
    """In mode enforced nobody gets past the node by another folder."""
    root.put("one", "active")
    for name, signer in OTHERS:
        root.put(name, into="var/lib/extensions", signer=signer)
    root.put("top", into="etc/extensions", signer=None)
    root.write("var/lib/extensions/folder/usr/lib/extension-release.d/extension-release.folder")
    (root.path / "var/lib/extensions/empty").mkdir()
    done = activate(root.node())
    assert masks(root) == ["bad", "folder", "plain"]
    assert others(done) == {
        "bad.sysext.raw": True,
        "folder": True,
        "plain.sysext.raw": True,
        "top.sysext.raw": False,  # /etc comes first, whatever lies in /run
    }
    assert not done.ok
    # What is no longer bad is no longer masked.
    for name in ("bad", "plain"):
        (root.path / f"var/lib/extensions/{name}.sysext.raw").unlink()
        root.put(name, into="var/lib/extensions")
    (root.path / "etc/extensions/top.sysext.raw").unlink()
    done = activate(root.node())
    assert masks(root) == ["folder"]
    assert done.ok


def test_in_other_modes_only_what_would_end_the_merge_is_masked(root: Root) -> None:
    configure(root, 'mode = "permissive"\n')
    root.put("one", "active")
    for name, signer in OTHERS:
        root.put(name, into="var/lib/extensions", signer=signer)
    root.write("var/lib/extensions/folder/usr/lib/extension-release.d/extension-release.folder")
    done = activate(root.node())
    assert masks(root) == ["bad"]  # systemd 257 ends the merge for a key it does not know
    assert others(done) == {"bad.sysext.raw": True}
    assert done.ok


def test_disabled_masks_nobody(root: Root) -> None:
    configure(root, 'mode = "disabled"\n')
    root.write("var/lib/extensions/junk.raw", os.urandom(70000))
    done = activate(root.node())
    assert masks(root) == []
    assert others(done) == {"junk.raw": False}


def test_masks_of_others_stay(root: Root) -> None:
    (root.path / "run/extensions/theirs").mkdir(parents=True)
    root.put("theirs", into="var/lib/extensions", signer=STRANGER)
    done = activate(root.node())
    activate(root.node())
    assert (masks(root), others(done)) == (["theirs"], {})


# --- Hierarchies ----------------------------------------------------------------------------------


def mounts(root: Root, *places: str) -> None:
    lines = ["22 1 8:1 / / ro shared:1 - ext4 /dev/sda1 ro"]
    lines += [f"{n} 22 8:{n} / {place} rw - ext4 /dev/x rw" for n, place in enumerate(places, 30)]
    root.write("proc/self/mountinfo", "\n".join(lines) + "\n")


def test_what_is_mounted_below_usr_is_not_hidden(root: Root) -> None:
    for folder in ("bin", "lib/firmware", "share/pki/x", "share/doc", "local/lib", "src"):
        (root.path / "usr" / folder).mkdir(parents=True, exist_ok=True)
    (root.path / "usr/lib64").symlink_to("lib")
    (root.path / "usr/share/a:b").mkdir()
    (root.path / 'usr/share/"quoted').mkdir()
    root.put(
        "fw",
        "active",
        files={
            "usr/lib/firmware/a.bin": "a",
            "usr/share/pki/lost": "b",
            "usr/share/new/lost": "c",
            "usr/share/doc/kept": "d",
            "usr/local/bin/lost": "e",
            "opt/kept": "f",
        },
    )
    mounts(root, "/usr/local", "/usr/share/pki", "/usrlocal", "/opt", "/home")
    done = activate(root.node())
    assert done.mounts == ("/usr/local", "/usr/share/pki")
    folders = ("/usr/bin", "/usr/lib", "/usr/share/doc", "/usr/src", "/opt")
    assert done.hierarchies == folders
    assert environment(root)["SYSTEMD_SYSEXT_HIERARCHIES"] == ":".join(done.hierarchies)
    (image,) = done.images
    assert image.not_merged == (
        "/usr/local/bin/lost",
        "/usr/share/new/lost",
        "/usr/share/pki/lost",
    )


def test_overlays_of_systemd_itself_are_no_such_mounts(root: Root) -> None:
    line = "40 22 0:50 / /usr/lib ro - overlay sysext ro,lowerdir=/x\n"
    root.write("proc/self/mountinfo", line)
    done = activate(root.node())
    assert (done.mounts, done.hierarchies) == ((), ())
    assert "SYSTEMD_SYSEXT_HIERARCHIES" not in environment(root)


# --- Certificates ---------------------------------------------------------------------------------


def exported(root: Root) -> set[str]:
    return set(os.listdir(root.path / EXPORTED.lstrip("/")))


def file_of(identity: Identity) -> str:
    return f"sysgraft-{identity.certificate.fingerprint.hex()[:32]}.crt"


def test_certificates_are_handed_to_systemd(root: Root) -> None:
    root.secure_boot(
        {
            "PK": certificate_list(STRANGER.certificate.der, owner=OWNER),
            "db": certificate_list(TRUSTED.certificate.der, REVOKED.certificate.der, owner=OWNER),
            "dbx": certificate_list(REVOKED.certificate.der, owner=OWNER),
        }
    )
    root.write("run/verity.d/theirs.crt", "x")
    root.write("run/verity.d/sysgraft-old.crt", "x")
    activate(root.node())
    assert exported(root) == {"theirs.crt", file_of(TRUSTED), file_of(STRANGER)}
    folder = root.path / "run/verity.d"
    assert (folder / file_of(TRUSTED)).read_bytes() == TRUSTED.certificate_pem
    assert (folder / file_of(TRUSTED)).stat().st_mode == 0o100644


@pytest.mark.parametrize(("secure_boot", "setup_mode"), [(0, 0), (1, 1)])
def test_firmware_that_enforces_nothing_trusts_nobody(
    root: Root, secure_boot: int, setup_mode: int
) -> None:
    root.secure_boot({"db": certificate_list(STRANGER.certificate.der, owner=OWNER)})
    for path in (root.path / "sys/firmware/efi/efivars").iterdir():
        for name, value in (("SecureBoot-", secure_boot), ("SetupMode-", setup_mode)):
            if path.name.startswith(name):
                path.write_bytes(b"\6\0\0\0" + bytes((value,)))
    root.put("fw", "active", signer=STRANGER)
    done = activate(root.node())
    assert states(done) == {"fw": ("untrusted", "skipped")}
    assert exported(root) == {file_of(TRUSTED)}


def test_the_own_certificate_alone_and_its_rotation(root: Root) -> None:
    """Whoever trusts the configuration only has all old extensions go with the old certificate."""
    old, new = make_identity("old own", kind="p256"), make_identity("new own", kind="p256")
    root.secure_boot({"db": certificate_list(STRANGER.certificate.der, owner=OWNER)})
    root.write("proc/cmdline", "quiet sysgraft.config=trusted\n")
    for name, signer in (("old", old), ("new", new), ("db", STRANGER), ("usr", TRUSTED)):
        root.put(name, "active", signer=signer)

    def trust_only(identity: Identity) -> Activation:
        certificate = identity.certificate_pem.decode()
        text = f'[trust]\nsources = ["config"]\ncertificates = ["""\n{certificate}"""]\n'
        root.write("etc/sysgraft/config.toml", text)
        return activate(root.node())

    first = trust_only(old)
    assert (list(links(root)), exported(root)) == (["old.sysext.raw"], {file_of(old)})
    assert states(first)["db"] == ("untrusted", "skipped")
    trust_only(new)
    assert (list(links(root)), exported(root)) == (["new.sysext.raw"], {file_of(new)})


def test_without_the_switch_a_writable_certificate_counts_for_nothing(root: Root) -> None:
    certificate = STRANGER.certificate_pem.decode()
    text = f'mode = "disabled"\n[trust]\ncertificates = ["""\n{certificate}"""]\n'
    root.write("etc/sysgraft/config.toml", text)
    root.put("fw", "active", signer=STRANGER)
    done = activate(root.node())
    assert (done.mode, states(done)) == (Mode.ENFORCED, {"fw": ("untrusted", "skipped")})
    assert any("config.toml" in note for note in done.notes)
    # Where no stub started the kernel nothing is measured, and what is configured counts.
    for path in (root.path / "sys/firmware/efi/efivars").iterdir():
        path.unlink()
    (root.path / "sys/firmware/efi/efivars").rmdir()
    (root.path / "sys/firmware/efi").rmdir()
    root.link("run/cos/active_mode", "/dev/null")
    done = activate(root.node())
    assert done.mode is Mode.DISABLED


def test_revocations_count_though_the_firmware_is_not_trusted(root: Root) -> None:
    root.secure_boot({"dbx": certificate_list(TRUSTED.certificate.der, owner=OWNER)})
    configure(root, '[trust]\nsources = ["usr"]\n')
    root.put("fw", "active")
    done = activate(root.node())
    assert states(done) == {"fw": ("revoked", "skipped")}
    assert exported(root) == set()


# --- What was found whole -------------------------------------------------------------------------


def reads(root: Root) -> dict[str, bool]:
    """Activate; whether each image's data were read anew."""
    seen: dict[str, bool] = {}

    def verify(path: str, options: VerifyOptions, **more: Any) -> Any:
        name = os.path.basename(path)
        seen[name] = options.reads_data or seen.get(name, False)
        return verify_image(path, options, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sysgraft.node.judge.verify_image", verify)
        activate(root.node())
    return seen


def test_data_are_read_once_and_again_when_the_file_changed(root: Root) -> None:
    one, two = root.put("one", "active"), root.put("two", "active")
    assert reads(root) == {"one.sysext.raw": True, "two.sysext.raw": True}
    assert reads(root) == {"one.sysext.raw": False, "two.sysext.raw": False}
    status = one.stat()
    tamper(one, 0, 8192)
    os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))  # the change time tells all the same
    assert reads(root) == {"one.sysext.raw": True, "two.sysext.raw": False}
    assert list(links(root)) == ["two.sysext.raw"]
    two.unlink()
    root.put("two")
    assert reads(root)["two.sysext.raw"] is True


def test_a_forged_list_changes_no_verdict_on_signatures(root: Root) -> None:
    paths = {
        "good": root.put("good", "active"),
        "stranger": root.put("stranger", "active", signer=STRANGER),
        "unsigned": root.put("unsigned", "active", signer=None),
        "tampered": root.put("tampered", "active"),
    }
    tamper(paths["tampered"], 1, 4096)
    before = states(activate(root.node()))
    forged = {}
    for path in paths.values():
        status = path.stat()
        stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        forged[path.name] = [*stamp, "00" * 32]
    place = root.store / ".sysgraft-whole.json"
    good = json.loads(place.read_text())["good.sysext.raw"]
    for each in forged.values():
        each[-1] = good[-1]
    place.write_text(json.dumps(forged))
    assert states(activate(root.node())) == before
    assert list(links(root)) == ["good.sysext.raw"]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{", '{"one.sysext.raw": 5}', '{"one.sysext.raw": []}',
        '{"one.sysext.raw": [1,2,3,4]}', '{"one.sysext.raw": {"a": 1}}', "[" * 100000, "\xff",
        '{"one.sysext.raw": "abc"}', '{"one.sysext.raw": [null, null, null, null, null]}',
    ],
)  # fmt: skip
def test_a_broken_list_is_no_list(root: Root, text: str) -> None:
    root.put("one", "active")
    (root.store / ".sysgraft-whole.json").write_text(text, encoding="latin-1")
    assert reads(root) == {"one.sysext.raw": True}
    assert reads(root) == {"one.sysext.raw": False}


def test_a_list_that_is_a_link_is_not_followed(root: Root, tmp_path: Path) -> None:
    root.put("one", "active")
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (root.store / ".sysgraft-whole.json").symlink_to(victim)
    activate(root.node())
    assert victim.read_bytes() == b"mine"
    assert list(links(root)) == ["one.sysext.raw"]


def test_a_store_that_cannot_be_written(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.put("one", "active")

    def refuse(path: str, **_: object) -> Any:
        from sysgraft.errors import OutputError  # noqa: PLC0415

        raise OutputError("Read-only file system", file=path)

    monkeypatch.setattr("sysgraft.node.judge.atomic_output", refuse)
    for _ in range(2):
        assert reads(root) == {"one.sysext.raw": True}
        assert list(links(root)) == ["one.sysext.raw"]


def test_signatures_alone_where_that_is_configured(root: Root) -> None:
    configure(root, 'check = "signature"\n')
    root.put("one", "active")
    tamper(root.put("damaged", "active"), 0, 8192)
    root.put("stranger", "active", signer=STRANGER)
    assert set(reads(root).values()) == {False}
    # dm-verity finds the damage when it is read.
    assert list(links(root)) == ["damaged.sysext.raw", "one.sysext.raw"]


# --- What is left behind --------------------------------------------------------------------------


def test_nothing_persistent_is_changed(five: Root) -> None:
    before = listing(five.path)
    activate(five.node())
    changed = {path for path, data in listing(five.path).items() if before.get(path) != data}
    assert {path.split("/")[0] for path in changed} == {"run", "var"}
    assert {path for path in changed if path.startswith("var")} == {
        f"{KAIROS}/extensions/.sysgraft-whole.json"
    }


def test_the_record(five: Root) -> None:
    node = five.node()
    write_activation(activate(node), node.root)
    record = read_activation(node.root)
    assert record["schema"] == "sysgraft.node.activate/1"
    assert (record["ok"], record["entry"], record["mode"]) == (False, "active", "enforced")
    by_name = {each["name"]: each for each in record["images"]}
    good = by_name["good"]
    assert (good["linked"], good["state"], good["dataRead"]) == (True, "good", True)
    assert good["trustedBy"].endswith("/usr/lib/verity.d/own.crt")
    assert len(good["rootHash"]) == 64
    assert (by_name["denied"]["state"], by_name["denied"]["linked"]) == (None, False)
    assert by_name["damaged"]["rootHash"] is None
    five.write("proc/sys/kernel/random/boot_id", "another\n")
    assert read_activation(node.root) == {}


def test_a_system_without_systemd(root: Root) -> None:
    (root.path / "usr/lib/systemd/libsystemd-shared-257.so").unlink()
    root.put("good", "active")
    root.put("stranger", "active", signer=STRANGER)
    done = activate(root.node())
    assert list(links(root)) == ["good.sysext.raw"]
    assert any("no systemd is found" in note for note in done.notes)


def test_a_broken_configuration_at_boot_is_as_strict_as_it_can_be(root: Root) -> None:
    root.put("good", "active")
    root.put("plain", "active", signer=None)
    root.write("etc/sysgraft/config.toml", "mode = \n")
    with pytest.raises(InputError):
        activate(root.node())
    from sysgraft.node.node import Node, NodeOptions  # noqa: PLC0415

    tolerant = Node(NodeOptions(root=str(root.path), running=True), tolerant=True)
    done = activate(tolerant)
    assert list(links(root)) == ["good.sysext.raw"]
    assert any("it is not taken" in note for note in done.notes)


def test_run_that_is_a_link_elsewhere(root: Root, tmp_path: Path) -> None:
    root.put("good", "active")
    (tmp_path / "outside").mkdir()
    root.link("run/extensions", str(tmp_path / "outside"))
    done = activate(root.node())
    assert any("run/extensions: it is a symbolic link" in note for note in done.notes)
    assert os.listdir(tmp_path / "outside") == []
