"""``sysgraft node install`` end to end: what is proven comes in whole, and nothing else at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from executables import signed_pe
from lint_kit import Maker
from node_root import (
    EFIVARS,
    KAIROS,
    OWNER,
    REVOKED,
    STRANGER,
    TRUSTED,
    Root,
    listing,
    make_root,
)
from registry_kit import Reply, Request, server
from sysgraft.formats.extension_release import Kind
from sysgraft.host.locking import folder_lock
from sysgraft.node.fetch import FetchOptions
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import certificate_list
from sysgraft.transport import http, waiting
from uki_kit import make_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sysgraft.testing.certificates import Identity

DB: Final = make_identity("node db", kind="rsa-2048")
ADDON: Final = signed_pe(make_stub("257.1", name="systemd-addon"), DB)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http.Http, "pause", lambda *_: None)
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A system on which something was installed and enabled before."""
    root = make_root(tmp_path)
    assert root.run("install", root.image("before")).code == 0
    assert root.run("enable", "before", "--common").code == 0
    return root


def digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def serve(replies: dict[str, Reply]) -> Callable[[Request], Reply]:
    return lambda request: replies.get(request.path, Reply(404))


# --- What comes in --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "file:", "file://", "path"])
def test_a_signed_image(root: Root, scheme: str) -> None:
    image = root.image("firmware_1.2")
    with server(serve({"/x/firmware_1.2.sysext.raw": Reply(200, image.read_bytes())})) as host:
        uri = {"http": f"http://{host}/x/firmware_1.2.sysext.raw", "path": str(image)}.get(
            scheme, f"{scheme}{image}"
        )
        done = root.run("install", uri, "--json")
    assert done.code == 0, done.err
    assert done.document == {
        "schema": "sysgraft.node.install/1",
        "ok": True,
        "changes": [
            {"what": "installed", "name": "firmware_1.2", "where": None,
             "file": "firmware_1.2.sysext.raw"}
        ],
        "notes": [],
        "name": "firmware_1.2",
        "file": "firmware_1.2.sysext.raw",
        "store": str(root.store),
        "digest": digest(image),
    }  # fmt: skip
    placed = root.store / "firmware_1.2.sysext.raw"
    assert placed.read_bytes() == image.read_bytes()
    assert placed.stat().st_mode == 0o100644
    known = json.loads((root.store / ".sysgraft-whole.json").read_text())
    assert known.keys() == {"before.sysext.raw", "firmware_1.2.sysext.raw"}
    assert sorted(os.listdir(root.store)) == [
        ".sysgraft-whole.json", "before.sysext.raw", "common", "firmware_1.2.sysext.raw",
    ]  # fmt: skip


def test_a_confext_goes_to_its_own_store(root: Root) -> None:
    image = root.image("conf", files={"etc/x": "x"}, kind=Kind.CONFEXT)
    done = root.run("install", image)
    assert (done.code, done.out) == (0, "conf.confext.raw: installed\n")
    assert (root.confexts / "conf.confext.raw").read_bytes() == image.read_bytes()
    assert "conf.confext.raw" not in os.listdir(root.store)


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/firmware.raw?token=secret&name=../../etc/passwd.raw", "firmware"),
        ("/download?file=firmware.sysext.raw", "firmware"),
        ("/..%2f..%2f..%2fetc%2fpasswd.sysext.raw", "firmware"),
        ("/%2e%2e/%2e%2e", "firmware"),
        ("/other.sysext.raw", "firmware"),
        ("/firmware_1.2.raw#x", "firmware_1.2"),
        ("/firmware+3.sysext.raw", "firmware+3"),
        ("/", "firmware"),
        ("/firmware_%00x.raw", "firmware"),
        ("/firmware_%1b[31m.raw", "firmware"),
        ("/.firmware.raw", "firmware"),
        (f"/firmware_{'x' * 300}.raw", "firmware"),
    ],
)
def test_the_name_is_that_of_the_image(root: Root, path: str, called: str) -> None:
    image = root.image("firmware").read_bytes()
    with server(lambda _: Reply(200, image)) as host:
        done = root.run("install", f"http://{host}{path}")
    assert (done.code, done.out) == (0, f"{called}.sysext.raw: installed\n"), done.err
    assert "secret" not in done.err
    assert f"{called}.sysext.raw" in os.listdir(root.store)


def test_redirects_are_followed_and_hosts_may_change(root: Root) -> None:
    image = root.image("firmware").read_bytes()
    with server(lambda _: Reply(200, image)) as other:
        moved = Reply(302, headers={"Location": f"http://{other}/y/z.raw?x=1"})
        with server(lambda _: moved) as host:
            assert root.run("install", f"http://{host}/firmware_2.raw").code == 0
    assert "firmware_2.sysext.raw" in os.listdir(root.store)


# --- Who vouches for it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signer", "state", "reason"),
    [(None, "unsigned", "unsigned"), (STRANGER, "untrusted", "no trusted certificate has issuer")],
)
def test_what_nobody_vouches_for_needs_a_digest(
    root: Root, signer: Identity | None, state: str, reason: str
) -> None:
    image = root.image("firmware", signer=signer)
    before = root.run("list").out
    done = root.run("install", image)
    assert done.err.splitlines()[-1].startswith("hint: sign it with a key that this node trusts")
    message = root.refused("install", image)
    assert message.startswith("error: firmware.sysext.raw: ")
    assert reason in message
    assert root.run("list").out == before
    done = root.run("install", image, "--digest", digest(image))
    assert done.code == 0
    assert done.out == "firmware.sysext.raw: installed\n"
    assert done.err == f"note: firmware.sysext.raw is {state}: a boot would have it skipped\n"


def test_a_revoked_signer(root: Root) -> None:
    root.write("usr/lib/verity.d/revoked.crt", REVOKED.certificate_pem)
    root.secure_boot({"dbx": certificate_list(REVOKED.certificate.der, owner=OWNER)})
    image = root.image("firmware", signer=REVOKED)
    assert "dbx holds this certificate" in root.refused("install", image)
    done = root.run("install", image, "--digest", digest(image))
    assert "is revoked: a boot would have it skipped" in done.err


def test_firmware_vouches_for_it(root: Root) -> None:
    image = root.image("firmware", signer=STRANGER)
    root.refused("install", image)
    root.secure_boot({"db": certificate_list(STRANGER.certificate.der, owner=OWNER)})
    assert root.run("install", image).code == 0


def test_nobody_is_trusted_at_all(root: Root) -> None:
    (root.path / "usr/lib/verity.d/own.crt").unlink()
    message = root.refused("install", root.image("firmware"))
    assert message.endswith(
        ": no trusted certificate given; there are no EFI variables: firmware trusts nobody here"
    )


def test_configuration_of_a_system_that_does_not_run_vouches_for_nobody(root: Root) -> None:
    (root.path / "usr/lib/verity.d/own.crt").unlink()
    certificate = TRUSTED.certificate_pem.decode()
    text = f'[trust]\ncertificates = ["""\n{certificate}"""]\n'
    root.write("etc/sysgraft/config.toml", text)
    done = root.run("install", root.image("firmware"))
    assert done.code == 2
    assert "note: " in done.err
    assert "firmware.sysext.raw" not in os.listdir(root.store)


def test_a_digest_of_something_else(root: Root) -> None:
    image = root.image("firmware")
    message = root.refused("install", image, "--digest", "sha256:" + "0" * 64)
    assert digest(image) in message
    assert "not a SHA-256 digest" in root.refused("install", image, "--digest", "abc")


# --- What is no use here --------------------------------------------------------------------------


def test_damage_is_seen_whoever_vouches_for_it(root: Root) -> None:
    image = root.image("firmware")
    data = bytearray(image.read_bytes())
    data[data.index(b"firmware\nfirmware\n") + 5000] ^= 1
    image.write_bytes(data)
    assert "its content is damaged" in root.refused("install", image)
    assert "its content is damaged" in root.refused("install", image, "--digest", digest(image))


@pytest.mark.parametrize(
    "release",
    [
        "ID=_any\nARCHITECTURE=s390x\n",
        "ID=fedora\n",
        "ID=debian\nVERSION_ID=12\n",
    ],
    ids=["architecture", "os", "version"],
)
def test_other_systems(root: Root, release: str) -> None:
    architecture = "s390x" if "s390x" in release else "x86-64"
    image = root.image("firmware", release=release, architecture=architecture)
    assert "it is not for this system" in root.refused("install", image)
    assert "it is not for this system" in root.refused("install", image, "--digest", digest(image))


@pytest.mark.parametrize("keep", [0, 1, 511, 4096, -4096, -1])
def test_cut_files(root: Root, keep: int) -> None:
    image = root.image("firmware")
    image.write_bytes(image.read_bytes()[:keep])
    message = root.refused("install", image)
    assert message.startswith(f"error: {image}" if not keep else "error: firmware.sysext.raw: ")
    if keep:
        root.refused("install", image, "--digest", digest(image))


@pytest.mark.parametrize("data", [b"\0" * 70000, b"ELF" * 30000, b"MZ" + b"\0" * 70000])
def test_files_that_are_no_images(root: Root, data: bytes) -> None:
    image = root.images / "firmware.sysext.raw"
    image.write_bytes(data)
    root.refused("install", image)
    root.refused("install", image, "--digest", digest(image))


@pytest.mark.parametrize(
    "called", ["../../evil", "a/b", "..", ".", ".hidden", "x\ny", "x\x1b[31m", "a.raw"]
)
def test_hostile_names_inside_the_image(root: Root, called: str) -> None:
    folder = root.images / "hostile"
    folder.mkdir()
    safe = called.replace("/", "%")
    path = Maker(folder).image(
        "firmware",
        {f"usr/lib/extension-release.d/extension-release.{safe}": "ID=_any\n", "usr/x": "x"},
        release="",
        signing=None,
    )
    data = path.read_bytes()
    path.write_bytes(data.replace(safe.encode(), called.encode()) if safe != called else data)
    message = root.refused("install", path, "--digest", digest(path))
    assert "\x1b" not in message


def test_an_image_without_a_release_file(root: Root) -> None:
    image = root.image("firmware", release="")
    message = root.refused("install", image)
    assert "no extension that systemd would merge" in message


def test_an_image_called_like_two(root: Root) -> None:
    more = {
        f"usr/lib/extension-release.d/extension-release.{name}": "ID=_any\n" for name in ("a", "b")
    }
    image = root.image("firmware", release="", files=more)
    message = root.refused("install", image)
    assert "its release files have several names: a, b" in message


def test_the_kind_that_was_asked_for(root: Root) -> None:
    message = root.refused("install", root.image("firmware"), "--type", "confext")
    assert "it is a sysext, and a confext is wanted" in message


# --- Servers that lie -----------------------------------------------------------------------------


def test_servers_that_lie(root: Root) -> None:
    data = root.image("firmware").read_bytes()
    replies = {
        "/cut": Reply(200, data, cut=5000),
        "/empty": Reply(200, b""),
        "/gone": Reply(404, b"x"),
        "/broken": Reply(500, b"x"),
        "/html": Reply(200, b"<html>login</html>" * 5000),
        "/loop": Reply(302, headers={"Location": "/loop"}),
        "/ping": Reply(302, headers={"Location": "/pong"}),
        "/pong": Reply(302, headers={"Location": "/ping"}),
        "/file": Reply(302, headers={"Location": "file:///etc/passwd"}),
        "/short": Reply(200, data[:-4096]),
    }
    said = {
        "/cut": "the connection broke",
        "/empty": "/empty: the file is empty",
        "/gone": "/gone: HTTP 404",
        "/broken": "HTTP 500",
        "/html": "there is no GPT",
        "/loop": "more than 5 redirects",
        "/ping": "more than 5 redirects",
        "/pong": "more than 5 redirects",
        "/file": "an address without a host",
        "/short": "its content is damaged",
    }
    with server(serve(replies)) as host:
        for path in replies:
            message = root.refused("install", f"http://{host}{path}")
            assert said[path] in message
        message = root.refused("install", f"http://{host}/gone?token=secret")
        assert "secret" not in message
    refused = root.refused("install", "http://127.0.0.1:1/x.raw")
    assert "127.0.0.1:1" in refused


def test_a_server_without_an_end(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    data = root.image("firmware").read_bytes()
    monkeypatch.setattr(
        "sysgraft.cli.node_change.FetchOptions",
        lambda **more: FetchOptions(limit=1 << 20, **more),
    )
    with server(lambda _: Reply(200, data, endless=True)) as host:
        message = root.refused("install", f"http://{host}/firmware.raw")
    assert "more than 1048576 bytes" in message


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "ftp://x/y.raw",
        "http://",
        "http:///x",
        "file:",
        "/nowhere.raw",
        "oci:UPPER:x",
        "https://[x",
    ],
)
def test_addresses_that_are_none(root: Root, uri: str) -> None:
    root.refused("install", uri)


def test_devices_are_no_images(root: Root) -> None:
    assert "not a regular file" in root.refused("install", "/dev/zero")


# --- Install media --------------------------------------------------------------------------------


def test_a_folder_goes_to_active_and_passive(root: Root, tmp_path: Path) -> None:
    """What is proven is installed and enabled; the rest is told, and keeps nobody out."""
    media = tmp_path / "media/live/extensions"
    media.mkdir(parents=True)
    for image in (
        root.image("one_1"),
        root.image("two", signer=STRANGER),
        root.image("conf", kind=Kind.CONFEXT, files={"etc/x": "x"}),
    ):
        image.rename(media / image.name)
    (media / "broken.sysext.raw").write_bytes(b"no image")
    (media / "notes.txt").write_bytes(b"x")
    (media / "link.sysext.raw").symlink_to(root.image("linked"))
    done = root.run("install", tmp_path / "media")
    assert done.code == 1
    notes = [line for line in done.err.splitlines() if line.startswith("note: left out: ")]
    assert [note.split(": ")[2] for note in notes] == ["broken.sysext.raw", "two.sysext.raw"]
    links = [path for path in listing(root.path / KAIROS) if path.count("/") == 2]
    assert sorted(links) == [
        "confexts/active/conf.confext.raw",
        "confexts/passive/conf.confext.raw",
        "extensions/active/one_1.sysext.raw",
        "extensions/common/before.sysext.raw",
        "extensions/passive/one_1.sysext.raw",
    ]
    again = root.run("install", tmp_path / "media")
    assert (again.code, again.out) == (1, "")


def test_a_folder_by_the_map(root: Root, tmp_path: Path) -> None:
    text = '[[map]]\nentry = "recovery"\nextensions = ["one*"]\n'
    root.write("usr/lib/sysgraft/config.toml", text)
    media = tmp_path / "media"
    media.mkdir()
    for image in (root.image("one_1"), root.image("one_2"), root.image("two")):
        image.rename(media / image.name)
    assert root.run("install", media).code == 0
    assert sorted(path for path in listing(root.store) if "/" in path) == [
        "active/two.sysext.raw",
        "common/before.sysext.raw",
        "passive/two.sysext.raw",
        "recovery/one_2.sysext.raw",
    ]


def test_a_folder_without_images(root: Root, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    message = root.refused("install", tmp_path / "media")
    assert message == f"error: {tmp_path}/media: there is no extension image below it"
    message = root.refused("install", tmp_path, "--digest", "0" * 64)
    assert "this is a folder" in message


# --- Two of one name ------------------------------------------------------------------------------


def test_the_same_again_is_fine(root: Root) -> None:
    image = root.image("firmware")
    assert root.run("install", image).code == 0
    before = listing(root.path)
    done = root.run("install", image)
    assert (done.code, done.out) == (0, "")
    assert done.err == "note: firmware.sysext.raw is installed already\n"
    assert listing(root.path) == before


def test_another_of_the_same_name_needs_force(root: Root) -> None:
    assert root.run("install", root.image("firmware")).code == 0
    other = root.image("firmware", files={"usr/share/new": "new" * 9999})
    message = root.refused("install", other)
    assert "another image of this name is installed" in message
    assert root.run("install", other, "--force").code == 0
    assert (root.store / "firmware.sysext.raw").read_bytes() == other.read_bytes()
    unproven = root.image("firmware", signer=STRANGER)
    root.refused("install", unproven, "--force")


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_is_no_file_is_in_the_way(root: Root, tmp_path: Path, kind: str) -> None:
    place = root.store / "firmware.sysext.raw"
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    image = root.image("firmware")
    if kind == "link":
        place.symlink_to(victim)
    else:
        place.mkdir()
        (place / "x").write_bytes(b"")
    root.refused("install", image)
    done = root.run("install", image, "--force")
    assert victim.read_bytes() == b"mine"
    assert done.code == (0 if kind == "link" else 2)
    assert not os.path.islink(place)


# --- Places that cannot be written ----------------------------------------------------------------


@pytest.mark.parametrize(
    "place", [KAIROS, f"{KAIROS}/extensions", "var/lib"], ids=["state", "store", "lib"]
)
def test_a_store_behind_a_link(root: Root, tmp_path: Path, place: str) -> None:
    real = root.path / place
    real.rename(tmp_path / "hidden")
    real.symlink_to(tmp_path / "hidden")
    before = listing(tmp_path / "hidden")
    message = root.refused("install", root.image("firmware"))
    assert message == f"error: {real}: it is a symbolic link, which is not followed here"
    assert listing(tmp_path / "hidden") == before


@contextmanager
def mounted(place: Path, options: str = "") -> Iterator[None]:
    """A small file system in a folder's place, with what is in that."""
    saved = place.with_name(f"{place.name}-saved")
    place.rename(saved)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=True)
    try:
        subprocess.run(["cp", "-a", f"{saved}/.", place], check=True)
        if options:
            subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_a_store_that_is_full(root: Root) -> None:
    with mounted(root.store):
        big = os.urandom(500 << 10)
        image = root.image("big", files={"usr/share/big": big})
        message = root.refused("install", image)
        assert "bytes are needed" in message
        data = image.read_bytes()
        with server(lambda _: Reply(200, data)) as host:
            assert "bytes are needed" in root.refused("install", f"http://{host}/big.raw")
        with server(lambda _: Reply(200, data, endless=True)) as host:
            assert "No space left" in root.refused("install", f"http://{host}/big.raw")
        assert root.run("install", root.image("small")).code == 0


@pytest.mark.root
def test_a_store_that_is_read_only(root: Root) -> None:
    with mounted(root.store, "ro"):
        message = root.refused("install", root.image("firmware"))
        assert "Read-only file system" in message
        for words in (("enable", "before", "--active"), ("remove", "before")):
            assert "Read-only file system" in root.refused(*words)
        done = root.run("list")
        assert "before" in done.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1\n", "colour"),
        ("mode = 'lax'\n", "lax"),
        ("deny = ['[']\n", "bracket"),
        ("mode = \n", "line 1"),
    ],
)
def test_a_configuration_that_is_broken(root: Root, text: str, words: str) -> None:
    path = root.write("etc/sysgraft/config.toml", text)
    for command in (
        ("install", root.image("firmware")),
        ("list",),
        ("enable", "before", "--active"),
        ("gc",),
    ):
        message = root.refused(*command)
        assert str(path) in message
        assert words in message


@pytest.mark.root
def test_firmware_variables_that_cannot_be_read(root: Root) -> None:
    """Whoever they would have trusted is not; what others vouch for still comes in."""
    root.secure_boot({"db": certificate_list(STRANGER.certificate.der, owner=OWNER)})
    place = next((root.path / EFIVARS).glob("db-*"))
    place.unlink()
    place.mkdir()
    message = root.refused("install", root.image("firmware", signer=STRANGER))
    assert "no trusted certificate has issuer" in message
    assert root.run("install", root.image("firmware")).code == 0


def test_another_process_is_at_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sysgraft.node.node.folder_lock", lambda folder: folder_lock(folder, patience=0.05)
    )
    with folder_lock(str(root.store)):
        for words in (("install", root.image("x")), ("enable", "before", "--active"), ("gc",)):
            message = root.refused(*words)
            assert "another process is changing it" in message
    assert root.run("enable", "before", "--active").code == 0


# --- Power cuts and debris ------------------------------------------------------------------------


def test_a_disk_that_fails_at_the_last_step(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("sysgraft.node.install.os.replace", fail)
    assert "Input/output error" in root.refused("install", root.image("firmware"))


def test_what_an_interrupted_command_left_is_swept(root: Root) -> None:
    root.write(f"{KAIROS}/extensions/.sysgraft-0123456789abcdef", b"half")
    root.link(f"{KAIROS}/extensions/active/.sysgraft-0123456789abcdef", "../x.raw")
    image = root.image("firmware")
    assert root.run("install", image).code == 0
    assert [name for name in listing(root.store) if ".sysgraft-0" in name] == []


# --- Signed policies, addons, credentials ---------------------------------------------------------


def test_a_signed_policy_comes_with_it(root: Root) -> None:
    policy = root.images / "x.json"
    policy.write_text("{}")
    done = root.run("install", root.image("firmware"), "--policy-signature", policy)
    assert done.code == 0, done.err
    assert (root.store / "firmware.pcrsig.json").read_text() == "{}"
    policy.write_text("{")
    message = root.refused("install", root.image("other"), "--policy-signature", policy)
    assert str(policy) in message
    gone = root.images / "gone.json"
    assert str(gone) in root.refused("install", root.image("o"), "--policy-signature", gone)
    assert root.run("remove", "firmware").code == 0
    assert "firmware.pcrsig.json" not in os.listdir(root.store)


def test_credentials_need_a_digest(root: Root) -> None:
    secret = root.images / "net.cred"
    secret.write_bytes(b"base64 text")
    message = root.refused("install", secret)
    assert "nothing inside a credential says whose it is" in message
    assert root.run("install", secret, "--digest", digest(secret)).code == 0
    assert (root.path / KAIROS / "sidecars/net.cred").read_bytes() == b"base64 text"
    listed = root.run("list", "--json").document["installed"]
    assert [each["file"] for each in listed if each["type"] == "sidecars"] == ["net.cred"]
    message = root.refused("upgrade", secret, "--digest", digest(secret))
    assert "net.cred has no versions" in message
    assert root.run("remove", "net").code == 0
    assert os.listdir(root.path / KAIROS / "sidecars") == []


@pytest.mark.parametrize("signed", [True, False])
def test_addons_are_held_against_db(root: Root, *, signed: bool) -> None:
    data = ADDON if signed else make_stub("257.1", name="systemd-addon")
    addon = root.images / "debug.addon.efi"
    addon.write_bytes(data)
    assert "no firmware here" in root.refused("install", addon)
    root.secure_boot({"db": certificate_list(DB.certificate.der, owner=OWNER)})
    if signed:
        assert root.run("install", addon).code == 0
    else:
        assert "firmware would not take it" in root.refused("install", addon)
        assert root.run("install", addon, "--digest", digest(addon)).code == 0
    assert (root.path / KAIROS / "sidecars/debug.addon.efi").read_bytes() == data


def test_a_revoked_addon(root: Root) -> None:
    addon = root.images / "debug.addon.efi"
    addon.write_bytes(ADDON)
    one = certificate_list(DB.certificate.der, owner=OWNER)
    root.secure_boot({"db": one, "dbx": one})
    assert "firmware would not take it" in root.refused("install", addon)


@pytest.mark.parametrize(
    "name", ["debug.efi", "a b.addon.efi", ".addon.efi", "-x.addon.efi", "x.cred", "x.raw"]
)
def test_executables_that_are_no_addons(root: Root, name: str) -> None:
    addon = root.images / name
    addon.write_bytes(ADDON)
    message = root.refused("install", addon, "--digest", digest(addon))
    assert f"an executable or credential cannot be called {name!r}" in message


def test_the_store_of_a_system_that_is_installed(tmp_path: Path) -> None:
    """What lies on the media goes to active and passive, wherever the store is."""
    root = make_root(tmp_path / "a")
    place = tmp_path / "state/extensions"
    place.parent.mkdir()
    image = root.image("firmware")
    options = ("--store", place)
    assert root.run("install", image, *options).code == 0
    assert root.run("enable", "firmware", "--active", "--passive", *options).code == 0
    assert {name: data for name, data in listing(place).items() if "/" in name} == {
        "active/firmware.sysext.raw": "-> ../firmware.sysext.raw",
        "passive/firmware.sysext.raw": "-> ../firmware.sysext.raw",
    }
    assert listing(root.store) == {}
