"""Every document of ``sysgraft node`` is what its published schema says, much and little in it."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from test_schemas import Document, entries, errors_of, schema_named

from command import Result, sysgraft
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.cli import node_status
from sysgraft.cli.node_activate import run as run_activate
from sysgraft.cli.output import Output
from sysgraft.formats.extension_release import Kind
from sysgraft.node.activate import activate
from sysgraft.node.document import activation_document, read_activation
from sysgraft.node.modes import Fate, State
from sysgraft.node.node import Node, NodeOptions
from sysgraft.node.status import Effect, Effective, Status
from sysgraft.sign.pair import load_pair
from upgrade_kit import make_uki

if TYPE_CHECKING:
    from conftest import SigningPair


def held_to(name: str, document: Document) -> Document:
    assert next(iter(document)) == "schema"
    assert errors_of(name, document) == []
    return document


@dataclass(frozen=True, slots=True)
class System:
    """A node that is not running: a root, an EFI system partition, and images beside them."""

    folder: Path
    pair: SigningPair

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def esp(self) -> Path:
        return self.folder / "esp"

    def write(self, place: str, data: bytes) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def image(
        self,
        name: str,
        *,
        kind: Literal["sysext", "confext"] = "sysext",
        pair: SigningPair | None = None,
    ) -> str:
        place = "usr/share" if kind == "sysext" else "etc"
        self.write(f"trees/{name}/{place}/{name}", name.encode())
        pair = pair or self.pair
        signing = load_pair(str(pair.key), str(pair.certificate))
        options = BuildOptions(sources=SourceOptions(kind=kind), replace=True)
        tree, output = str(self.folder / "trees" / name), str(self.folder)
        return build_extension(name, [tree], output=output, signing=signing, options=options).path

    def run(self, verb: str, *words: str | Path, code: int = 0) -> Document:
        place = ("--root", self.root, "--esp", self.esp, "--layout", "kairos")
        result: Result = sysgraft("node", verb, *words, *place, "--json")
        assert result.code == code, result.err
        return held_to(f"node.{verb}", result.document)


@pytest.fixture
def system(tmp_path: Path, signing_pair: SigningPair) -> System:
    found = System(tmp_path, signing_pair)
    found.write("root/usr/lib/systemd/libsystemd-shared-257.so", b"")
    found.write("root/usr/lib/os-release", b"ID=kit\nVERSION_ID=1\n")
    found.write("root/usr/lib/verity.d/mine.crt", signing_pair.certificate.read_bytes())
    for name in ("active", "passive", "recovery"):
        found.write(f"esp/EFI/kairos/{name}.efi", make_uki(name.encode()))
    return found


def whats(document: Document) -> list[Any]:
    return [each["what"] for each in entries(document, "changes")]


def test_an_empty_node(system: System) -> None:
    assert system.run("list")["installed"] == []
    assert system.run("gc")["changes"] == []


def test_a_life_in_the_store(system: System) -> None:
    one, two = system.image("fw_1"), system.image("fw_2")
    assert system.run("install", one)["name"] == "fw_1"
    assert system.run("install", one)["notes"] == ["fw_1.sysext.raw is installed already"]
    assert whats(system.run("enable", "--active", "--passive", "fw_1")) == ["enabled"] * 2
    assert whats(system.run("upgrade", two)) == ["installed", "enabled", "disabled"]
    assert whats(system.run("rollback", "fw")) == ["enabled", "disabled"]
    assert whats(system.run("disable", "--passive", "fw_1")) == ["disabled"]
    assert whats(system.run("gc", "--dry-run")) == ["would be removed"]
    assert whats(system.run("gc")) == ["removed"]
    assert whats(system.run("remove", "fw_1")) == ["disabled", "removed"]


def test_a_life_on_the_esp(system: System) -> None:
    for number in (1, 2):
        system.run("install", system.image(f"fw_{number}"))
    system.run("install", system.image("conf", kind="confext"))
    placed = system.run("enable", "--active", "--placement=esp", "fw_1")
    assert placed["changes"] == [
        {
            "what": "placed",
            "name": "fw_1",
            "where": "active",
            "file": "EFI/kairos/active.efi.extra.d/fw_1.sysext.raw",
        }
    ]
    assert "placed" in whats(system.run("upgrade", "fw_2"))
    assert system.run("list")["placed"] != []
    assert "placed" in whats(system.run("rollback", "fw"))
    assert whats(system.run("disable", "--active", "--placement=esp", "fw_1")) == ["taken off"]
    assert whats(system.run("remove", "fw_1")) == ["taken off", "removed"]


def test_a_folder_of_images(system: System) -> None:
    system.image("fw_1")
    system.image("conf", kind="confext")
    found = system.run("install", system.folder)
    assert [found[each] for each in ("name", "file", "store", "digest")] == [None] * 4
    assert sorted(whats(found)) == ["enabled"] * 4 + ["installed"] * 2
    for folder in ("extensions", "confexts"):
        for place in (system.root / "var/lib/kairos" / folder).glob("*/*.raw"):
            place.unlink()
    found = system.run("install", system.folder, "--placement", "esp")
    assert whats(found) == ["placed"] * 4
    system.write("stranger.sysext.raw", b"no image")
    assert system.run("install", system.folder, code=1)["ok"] is False


def test_a_list_with_everything_to_report(system: System) -> None:
    system.write("root/etc/sysgraft/config.toml", b'[[map]]\nextension = "f*"\nentries = ["other"]')
    system.run("install", system.image("fw"))
    store = system.root / "var/lib/kairos/extensions"
    (store / "active").mkdir()
    (store / "active/fw.sysext.raw").symlink_to("../../elsewhere")
    found = system.run("list")
    assert found["flaws"] != []
    (installed,) = entries(found, "installed")
    assert installed["mapped"] == ["other"]
    assert installed["version"] is None


def test_an_activation_with_everything_to_report(
    system: System,
    other_pair: SigningPair,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("good", "denied"):
        system.run("install", system.image(name))
        system.run("enable", "--common", name)
    for name, pair in (("stranger", other_pair), ("good", system.pair)):
        data = Path(system.image(name, pair=pair)).read_bytes()
        system.write(f"root/.extra/sysext/{name}.sysext.raw", data)
    system.write("root/.extra/confext/broken.confext.raw", b"no image")
    system.write("root/etc/sysgraft/config.toml", b'deny = ["denied"]\nmode = "permissive"\n')
    for place in ("etc", "var/lib"):
        system.write(f"root/{place}/extensions/odd-{place[:3]}.raw", b"no image")
    mounts = b"1 0 0:1 / /usr/local rw - tmpfs tmpfs rw\n"
    system.write("root/proc/self/mountinfo", mounts)
    monkeypatch.setattr(
        "sysgraft.cli.node_activate.NodeOptions",
        lambda: NodeOptions(root=str(system.root), layout="kairos"),
    )
    arguments = argparse.Namespace(boot=True)
    assert run_activate(arguments, Output(json_wanted=True)) == 1
    document = held_to("node.activate", json.loads(capsys.readouterr().out))
    images = {os.path.relpath(str(e["path"]), system.root): e for e in entries(document, "images")}
    assert images[".extra/sysext/stranger.sysext.raw"]["state"] == "untrusted"
    assert images[".extra/confext/broken.confext.raw"]["state"] == "damaged"
    denied = images["var/lib/kairos/extensions/denied.sysext.raw"]
    assert (denied["state"], denied["linked"]) == (None, False)
    others = {os.path.relpath(str(e["path"]), system.root): e for e in entries(document, "others")}
    assert {path: each["masked"] for path, each in others.items()} == {
        "etc/extensions/odd-etc.raw": False,
        "var/lib/extensions/odd-var.raw": True,
    }
    assert document["ok"] is False
    assert document["mounts"] == ["/usr/local"]
    assert document["certificates"] != []
    kept = dict(read_activation(str(system.root)))
    assert kept.pop("boot") is not None
    assert errors_of("node.activate", kept) == []


def test_an_activation_of_nothing(system: System) -> None:
    node = Node(NodeOptions(root=str(system.root)))
    document = {"schema": "sysgraft.node.activate/1", **activation_document(activate(node))}
    assert held_to("node.activate", document)["images"] == []


@pytest.mark.parametrize("effect", Effect)
def test_a_status(effect: Effect) -> None:
    image = Effective(Kind.SYSEXT, "a", "a.sysext.raw", "active", effect, "because")
    bare = Effective(Kind.CONFEXT, "b", "", "", effect, "")
    activation = {"entry": "active", "mode": "enforced"}
    for status in (Status(activation, (image, bare), ("note",)), Status({}, (), ())):
        document = {"schema": "sysgraft.node.status/1", **node_status._document(status)}
        held_to("node.status", document)


def test_units(tmp_path: Path) -> None:
    for place in ("system", "extension", "initrd"):
        result = sysgraft("node", "units", "--output", tmp_path / place, "--for", place, "--json")
        held_to("node.units", result.document)


def test_the_schemas_name_all_words() -> None:
    def values(verb: str, *path: str) -> list[Any]:
        part: Any = schema_named(f"node.{verb}")["properties"]
        for key in path:
            part = part[key]
        found: list[Any] = part["enum"]
        return found

    images = ("images", "items", "properties")
    assert values("activate", *images, "state") == [*State, None]
    assert values("activate", *images, "fate") == [*Fate]
    assert values("status", *images, "effect") == [*Effect]
