"""Every ``--json`` document is what its published schema says, and the schemas leave no room."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from jsonschema import Draft202012Validator

from command import sysgraft
from firmware_kit import DISK, WIFI, machine, write_firmware, write_kernel
from golden_images import golden
from sysgraft.cli.main import main
from sysgraft.firmware.inventory import render_machine
from sysgraft.formats.policy_builtin import NAMES
from sysgraft.image.checks import CHECKS
from sysgraft.image.lint.finding import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conftest import SigningPair

REFERENCE = Path(__file__).parents[2] / "docs/reference"
FILES = sorted((REFERENCE / "schemas").glob("*.json"))
NAMES_OF_SCHEMAS = {
    "disk.check",
    "disk.retype",
    "ext.build",
    "ext.diff",
    "ext.extract",
    "ext.inspect",
    "ext.lint",
    "ext.order",
    "ext.sign",
    "ext.unsign",
    "ext.verify",
    "firmware.build",
    "firmware.doctor",
    "firmware.index",
    "firmware.plan",
    "firmware.reprobe",
    "firmware.scan",
    "firmware.strip",
    "firmware.units",
    "keys.certify",
    "keys.enroll-vars",
    "keys.generate",
    "keys.sign",
    "lab.guest",
    "lab.run",
    "media.disk",
    "media.iso",
    "node.activate",
    "node.bundle",
    "node.disable",
    "node.enable",
    "node.gc",
    *(f"kernel.{verb}" for verb in ("bless", "cleanup", "install", "list", "plugin", "remove")),
    "kernel.set-default",
    "node.install",
    "node.list",
    "node.remove",
    "node.rollback",
    "node.status",
    "node.units",
    "node.upgrade",
    "pcr.check",
    "pcr.enroll",
    "pcr.explain",
    "pcr.plan",
    "pcr.predict",
    "pcr.replay",
    "pcr.sign",
    "pcr.units",
    "policy.check",
    "policy.show",
    "uki.addon",
    "uki.build",
    "uki.inspect",
    "uki.join-pcrsig",
    "uki.package",
    "uki.sign",
    "uki.verify",
}

Document: TypeAlias = dict[str, object]


def schema_named(name: str) -> Document:
    document: Document = json.loads((REFERENCE / f"schemas/sysgraft.{name}-1.json").read_text())
    return document


def errors_of(name: str, document: object) -> list[str]:
    validator = Draft202012Validator(schema_named(name))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


class Tool:
    """Runs commands with ``--json`` and holds their output to the schema."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | Path, code: int = 0) -> Document:
        self._capsys.readouterr()
        assert main([*map(str, words), "--json"]) == code
        printed = self._capsys.readouterr().out
        document: Document = json.loads(printed)
        assert next(iter(document)) == "schema"
        assert errors_of(f"{words[0]}.{words[1]}", document) == []
        return document


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(capsys)


@pytest.fixture
def signing(signing_pair: SigningPair) -> Sequence[str]:
    return (f"--private-key={signing_pair.key}", f"--certificate={signing_pair.certificate}")


@pytest.fixture
def rich_archive(tmp_path: Path) -> Path:
    """A tar with a link, an attribute, equal files, and a file outside ``/usr``."""
    path = tmp_path / "rich.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("usr/a", b"a" * 9000), ("usr/b", b"a" * 9000), ("etc/c", b"c")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = {"SCHILY.xattr.user.note": "value"}
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("usr/link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        archive.addfile(link)
    return path


@pytest.mark.parametrize("compress", ["lz4", "zstd:1"])
def test_a_compressed_build(tool: Tool, sample_tree: Path, tmp_path: Path, compress: str) -> None:
    words = ("ext", "build", "demo", sample_tree, "--unsigned", f"--output={tmp_path}")
    built = tool(*words, f"--compress={compress}")
    compression = built["compression"]
    assert isinstance(compression, dict)
    assert compression["files"] == 1


def test_a_build_with_everything_to_report(
    tool: Tool, rich_archive: Path, signing: Sequence[str], tmp_path: Path
) -> None:
    options = (f"--output={tmp_path}", "--also-unsigned")
    built = tool("ext", "build", "rich", rich_archive, *options, *signing)
    assert built["unsigned"]
    assert built["leftOut"] != []
    assert built["notes"] != []
    image = tmp_path / "rich.sysext.raw"
    inspected = tool("ext", "inspect", image, "--files")
    listed = {key for entry in entries(inspected) for key in entry}
    assert {"xattrs", "target", "size"} <= listed
    verified = tool("ext", "verify", image, signing[1])
    assert verified["ok"] is True


def entries(inspected: Document, key: str = "files") -> list[Document]:
    files = inspected[key]
    assert isinstance(files, list)
    return files


def test_a_confext(tool: Tool, rich_archive: Path, tmp_path: Path) -> None:
    options = ("--type=confext", "--unsigned", f"--output={tmp_path}")
    assert tool("ext", "build", "rich", rich_archive, *options)["type"] == "confext"
    assert tool("ext", "inspect", tmp_path / "rich.confext.raw")["type"] == "confext"


def test_taking_a_signature_away_and_adding_one(
    tool: Tool, sample_tree: Path, signing: Sequence[str], tmp_path: Path
) -> None:
    tool("ext", "build", "demo", sample_tree, f"--output={tmp_path}", *signing)
    image = tmp_path / "demo.sysext.raw"
    assert tool("ext", "unsign", image, "--force")["signed"] is False
    assert tool("ext", "inspect", image)["signature"] is None
    assert tool("ext", "verify", image, signing[1], code=1)["ok"] is False
    assert tool("ext", "sign", image, "--force", "--nocerts", *signing)["signed"] is True
    tool("ext", "inspect", image)
    tool("ext", "verify", image, code=1)  # no certificate anywhere: the signer is not known
    tool("ext", "verify", image, signing[1])


@pytest.mark.parametrize(
    "name", ["sysext-252-squashfs", "sysext-257", "sysext-257-lz4hc", "sysext-262", "confext-262"]
)
def test_images_of_systemd_repart(tool: Tool, name: str, tmp_path: Path) -> None:
    image = golden(name, tmp_path)
    tool("ext", "inspect", image, "--files")
    tool("ext", "verify", image, code=1)
    tool("policy", "check", "@sysext-strict", image)
    tool("policy", "check", "root=encrypted", image, code=1)


def test_a_file_that_is_no_image(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "not.raw").write_bytes(b"no image\n" * 1000)
    tool("ext", "verify", tmp_path / "not.raw", code=1)


def test_a_bare_file_system(tool: Tool, tmp_path: Path) -> None:
    squashfs = tmp_path / "bare.raw"
    squashfs.write_bytes(b"hsqs".ljust(8192, b"\0"))
    assert tool("ext", "inspect", squashfs)["diskUuid"] is None
    tool("ext", "verify", squashfs, code=1)


@pytest.mark.usefixtures("without_squashfs")
def test_a_difference_with_everything_to_report(tool: Tool, tmp_path: Path) -> None:
    images = [golden(name, tmp_path) for name in ("sysext-257", "confext-262")]
    document = tool("ext", "diff", *images, code=1)
    assert document["facts"]
    files = document["files"]
    assert isinstance(files, list)
    assert {each["status"] for each in files} == {"added", "removed", "changed"}
    squashfs = golden("sysext-252-squashfs", tmp_path)
    assert tool("ext", "diff", images[0], squashfs, code=1)["notCompared"]
    tool("ext", "diff", images[0], images[0])


def test_an_extraction_with_something_to_report(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = golden("sysext-257-lz4hc", tmp_path)
    tool("ext", "extract", image, tmp_path / "out")
    monkeypatch.setattr("os.fchown", refuse)
    monkeypatch.setattr("os.chown", refuse)
    document = tool("ext", "extract", image, tmp_path / "again", "--path=usr/golden")
    (missed,) = entries({"files": document["notKept"]})
    assert missed["what"] == "owners"


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_an_order_with_everything_to_report(tool: Tool) -> None:
    names = ("a_2", "a_10", "a+2", "b.confext.raw", "c.raw.xz", "ä.raw")
    document = tool("ext", "order", *names)
    orders = document["orders"]
    assert isinstance(orders, list)
    assert all(orders[0][key] for key in ("merged", "packed", "undecided", "passedOver"))
    tool("ext", "order", "b", "a", "--type=confext", "--systemd-version=252")


def test_a_lint_with_everything_to_report(tool: Tool, tmp_path: Path) -> None:
    images = [golden(name, tmp_path) for name in ("sysext-257", "sysext-262", "confext-262")]
    options = ("--image-policy", "root=signed+absent", "--kernel-tree", tmp_path)
    assert sysgraft("ext", "lint", *images, *options).code == 2
    document = tool("ext", "lint", *images, *options[:2], code=1)
    assert all(document[key] for key in ("images", "merges", "findings", "notChecked"))
    found = {each["code"] for each in entries(document, "findings")}
    assert found <= set(RULES)


def test_firmware(tool: Tool, tmp_path: Path) -> None:
    write_kernel(tmp_path)
    write_firmware(tmp_path)
    (tmp_path / "usr/lib/firmware/WHENCE").write_text(
        "File: regulatory.db\nLicence: See LICENCE.kit.\nLink: broken\n"
    )
    (tmp_path / "usr/lib/firmware/LICENCE.kit").write_text("terms")
    index = tmp_path / "firmware.index"
    trees = ("--kernel-tree", tmp_path, "--firmware-tree", tmp_path, "--digests")
    made = tool("firmware", "index", *trees, "--output", index)
    assert made["problems"] != []
    inventory = tmp_path / "machine.json"
    inventory.write_bytes(render_machine(machine(WIFI, DISK)))
    options = ("--index", index, "--machine", inventory, "--class", "kit", "--level", "device")
    plan = tool("firmware", "plan", *options)
    for key in ("files", "links", "licenses", "unresolved", "notes"):
        assert plan[key] != []
    files = plan["files"]
    assert isinstance(files, list)
    assert {"early", "sha256", "license"} <= {key for file in files for key in file}


def test_firmware_sets_and_roots_without_firmware(tool: Tool, tmp_path: Path) -> None:
    root, trees = tmp_path / "root", ("--firmware-tree", tmp_path / "root")
    write_kernel(root)
    write_firmware(root)
    index, inventory, plan = (tmp_path / name for name in ("index", "machine.json", "plan.json"))
    tool("firmware", "index", "--kernel-tree", root, *trees, "--output", index)
    inventory.write_bytes(render_machine(machine(WIFI, DISK)))
    tool("firmware", "plan", "--index", index, "--machine", inventory, "--output", plan)
    early = ("--early-initrd", tmp_path / "early", "--early-microcode", tmp_path / "microcode")
    options = ("--plan", plan, *trees, "--output", tmp_path, "--unsigned", "--drop", "helper/*")
    built = tool("firmware", "build", "fw", *options, *early)
    assert built["extension"]
    assert built["earlyInitrd"]
    stripped = tool("firmware", "strip", root, "--plan", plan, "--output", tmp_path / "slim.tar")
    assert stripped["largest"]
    assert stripped["sizeBefore"] is None


@pytest.mark.parametrize("policy", [*NAMES, "*", "-", "~"])
@pytest.mark.parametrize("version", ["254", "259", "262"])
def test_policies(tool: Tool, policy: str, version: str) -> None:
    tool("policy", "show", policy, f"--systemd-version={version}")


def test_a_policy_of_file_systems_and_attributes(tool: Tool) -> None:
    tool("policy", "show", "root=squashfs+read-only-on:=absent")


# --- The schemas themselves ----------------------------------------------------------------------


def test_there_is_a_schema_for_every_document() -> None:
    names = {path.name.removeprefix("sysgraft.").removesuffix("-1.json") for path in FILES}
    assert names == NAMES_OF_SCHEMAS


@pytest.mark.parametrize("name", sorted(NAMES_OF_SCHEMAS))
def test_a_schema_is_valid_named_and_linked(name: str) -> None:
    schema = schema_named(name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": f"sysgraft.{name}/1"}  # type: ignore[index]
    assert f"(schemas/sysgraft.{name}-1.json)" in (REFERENCE / "json.md").read_text()


def objects_in(schema: object) -> Iterator[Document]:
    """Every part of a schema that describes an object."""
    if isinstance(schema, dict):
        if "object" in (schema.get("type"), *_list(schema.get("type"))):
            yield schema
        for below in schema.values():
            yield from objects_in(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from objects_in(below)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


@pytest.mark.parametrize("name", sorted(NAMES_OF_SCHEMAS))
def test_objects_allow_no_unknown_field(name: str) -> None:
    for part in objects_in(schema_named(name)):
        if "properties" in part:
            assert part["additionalProperties"] is False
        else:  # a map: any key, one type of value
            assert isinstance(part["additionalProperties"], dict)


def test_a_schema_finds_what_is_missing_unknown_or_wrong(
    tool: Tool, sample_tree: Path, tmp_path: Path
) -> None:
    built = tool("ext", "build", "demo", sample_tree, "--unsigned", f"--output={tmp_path}")
    for changed in (
        {key: value for key, value in built.items() if key != "rootHash"},
        {**built, "colour": "green"},
        {**built, "rootHash": "ABCD"},
        {**built, "size": -1},
        {**built, "schema": "sysgraft.ext.build/2"},
    ):
        assert len(errors_of("ext.build", changed)) == 1


def test_the_schema_names_all_checks() -> None:
    text = json.dumps(schema_named("ext.verify"))
    found = re.search(r'"name": {"enum": (\[.*?\])}', text)
    assert found is not None
    assert json.loads(found[1]) == list(CHECKS)
