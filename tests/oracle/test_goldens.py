"""Images made by systemd-repart 252, 257 and 262 are read and proven as other tools have done.

The images and what the other tools said of them are recorded in tests/assets/images by
``scripts/make-goldens``; nothing but sysgraft runs here.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from sysgraft.base import ids
from sysgraft.image.inspect import ImageInfo, inspect_image
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.verify.trust import from_certificates

if TYPE_CHECKING:
    from conftest import SigningPair
    from sysgraft.base.tree import Inode

IMAGES = Path(__file__).parents[1] / "assets/images"
SIGNER = IMAGES.parent / "keys/signer.crt"
NAMES = sorted(path.name.removesuffix(".raw.xz") for path in IMAGES.glob("*.raw.xz"))
# Read by an optional library; without it a squashfs is proven as a disk image.
SQUASHFS = [name for name in NAMES if "squashfs" in name]
EROFS = [name for name in NAMES if name not in SQUASHFS]
NOT_READ = frozenset({"name", "extension-release"})

XATTRS_OF_258 = {b"user.validatefs.gpt_label", b"user.validatefs.gpt_type_uuid"}


def recorded(name: str) -> dict[str, Any]:
    """What the other tools said."""
    facts: dict[str, Any] = json.loads((IMAGES / f"{name}.json").read_text())
    return facts


@pytest.fixture
def image(name: str, tmp_path: Path) -> Path:
    """The image called `name`, unpacked under the name its release file has."""
    path = tmp_path / "golden.raw"
    path.write_bytes(lzma.decompress((IMAGES / f"{name}.raw.xz").read_bytes()))
    return path


def listed(info: ImageInfo) -> dict[str, Inode]:
    """The image's files by path, the root left out."""
    assert info.tree is not None
    return {path.decode(): inode for path, inode in info.tree.items() if path}


def test_all_three_versions_are_there() -> None:
    versions = {recorded(name)["made_with"]["systemd"].split(".")[0] for name in NAMES}
    assert versions == {"252", "257", "262"}


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_the_recorded_one(name: str, image: Path) -> None:
    data = image.read_bytes()
    assert len(data) == recorded(name)["size"]
    assert hashlib.sha256(data).hexdigest() == recorded(name)["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_partitions_are_those_sfdisk_lists(name: str, image: Path) -> None:
    table = recorded(name)["sfdisk"]
    info = inspect_image(image)
    assert info.disk_uuid == UUID(table["id"])
    assert info.dissection.table is not None
    ours = [
        {
            "start": partition.first_lba,
            "size": partition.size // partition.sector_size,
            "type": str(partition.type_uuid).upper(),
            "uuid": str(partition.uuid).upper(),
            "name": partition.name,
            "flags": partition.attributes,
        }
        for partition in info.dissection.table.partitions
    ]
    theirs = [
        {key: value for key, value in partition.items() if key != "attrs"}
        | {"flags": flags(partition.get("attrs", ""))}
        for partition in table["partitions"]
    ]
    assert ours == theirs


def flags(text: str) -> int:
    """sfdisk's ``GUID:60,63`` as the 64-bit field."""
    return sum(1 << int(bit) for bit in text.removeprefix("GUID:").split(",") if bit)


@pytest.mark.parametrize("name", NAMES)
def test_members_are_those_systemd_dissect_lists(name: str, image: Path) -> None:
    said = recorded(name)["systemd-dissect"]
    info = inspect_image(image)
    ours = [
        (m.designator, m.architecture, str(m.partition.uuid), m.partition.name)
        for m in info.members
    ]
    theirs = [
        (m["designator"], m["architecture"], m["partition_uuid"], m["partition_label"])
        for m in said["mounts"]
    ]
    assert sorted(ours) == sorted(theirs)
    assert info.dissection.data is not None
    assert info.dissection.data.fstype == said["mounts"][0]["fstype"]


@pytest.mark.parametrize("name", NAMES)
def test_dm_verity_is_what_veritysetup_dumps(name: str, image: Path) -> None:
    dump = recorded(name)["veritysetup"]
    said = {key: value.removesuffix(" [bytes]") for key, value in dump.items()}
    superblock = inspect_image(image).verity
    assert superblock is not None
    assert {
        "UUID": str(superblock.uuid),
        "Hash type": str(superblock.hash_type),
        "Data blocks": str(superblock.data_blocks),
        "Data block size": str(superblock.data_block_size),
        "Hash block size": str(superblock.hash_block_size),
        "Hash algorithm": superblock.algorithm,
        "Salt": superblock.salt.hex(),
    }.items() <= said.items()


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_names_the_recorded_root_hash_and_certificate(name: str, image: Path) -> None:
    said = recorded(name)["signature"]
    assert said["openssl"].lower().endswith("verification successful")
    info = inspect_image(image)
    assert info.root_hash is not None
    assert info.signature is not None
    assert info.signature.fingerprint is not None
    assert info.root_hash.hex() == said["rootHash"]
    assert info.signature.fingerprint.hex() == said["certificateFingerprint"]


@pytest.mark.parametrize("name", NAMES)
def test_release_fields_are_those_systemd_dissect_shows(name: str, image: Path) -> None:
    info = inspect_image(image)
    lines = [f"{key}={value}" for key, value in info.releases["golden"].fields.items()]
    kind = recorded(name)["kind"]
    said = recorded(name)["systemd-dissect"]
    # systemd 252 has one name for both kinds.
    assert lines == said.get(f"{kind}Release", said.get("extensionRelease"))
    assert str(info.kind) == kind


@pytest.mark.parametrize("name", NAMES)
def test_the_content_is_what_went_in(name: str, image: Path) -> None:
    wanted = recorded(f"{recorded(name)['kind']}.files")
    found = listed(inspect_image(image, files=True))
    assert found.keys() == wanted.keys()
    for path, entry in wanted.items():
        inode = found[path]
        assert f"{stat.S_IMODE(inode.mode):04o}" == entry["mode"], path
        assert (inode.uid, inode.gid) == (entry["uid"], entry["gid"]), path
        assert inode.is_dir == (entry["type"] == "directory"), path
        assert inode.target.decode() == entry.get("target", ""), path
        theirs = {
            key.encode(): bytes.fromhex(text) for key, text in entry.get("xattrs", {}).items()
        }
        assert dict(inode.xattrs) == theirs, path


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_the_bytes_that_went_in(name: str, image: Path) -> None:
    from sysgraft.host.files import OpenFile  # noqa: PLC0415 - the tree is read while it is open
    from sysgraft.image import dissect  # noqa: PLC0415 - likewise
    from sysgraft.image.content import open_filesystem  # noqa: PLC0415 - likewise

    wanted = recorded(f"{recorded(name)['kind']}.files")
    with OpenFile(str(image)) as blob:
        data = dissect.dissect(blob).data
        assert data is not None
        tree = open_filesystem(dissect.part(blob, data)).read_tree()
        for path, entry in wanted.items():
            if entry["type"] == "file":
                content = tree[path.encode()].content
                assert content is not None
                assert content.size == entry["size"], path
                digest = hashlib.sha256(content.read_at(0, content.size))
                assert digest.hexdigest() == entry["sha256"], path
        assert (
            tree[b"usr/golden/hard" if b"usr" in tree else b"etc/golden/hard"]
            is (tree[b"usr/golden/block" if b"usr" in tree else b"etc/golden/block"])
        )


@pytest.mark.parametrize("name", [name for name in EROFS if "262" in name])
def test_attributes_that_systemd_258_and_later_set_on_the_root_are_seen(image: Path) -> None:
    tree = inspect_image(image, files=True).tree
    assert tree is not None
    assert dict(tree[b""].xattrs).keys() >= XATTRS_OF_258


@pytest.mark.parametrize("name", EROFS)
def test_identifiers_follow_from_the_seed(name: str, image: Path) -> None:
    seed = UUID(recorded(name)["seed"])
    info = inspect_image(image)
    assert info.root_hash is not None
    assert info.verity is not None
    assert info.filesystem is not None
    data, hashes, signature = (member.partition for member in info.members)
    assert info.disk_uuid == ids.disk_uuid(seed)
    assert data.uuid == ids.data_uuid(info.root_hash)
    assert hashes.uuid == ids.hash_uuid(info.root_hash)
    assert signature.uuid == ids.partition_uuid(seed, signature.type_uuid)
    assert info.verity.uuid == ids.verity_uuid(seed)
    assert info.verity.salt == ids.verity_salt(seed)
    acquired = ids.partition_uuid(seed, data.type_uuid)
    assert info.filesystem.uuid == ids.filesystem_uuid(acquired)


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_proven_under_its_signer(image: Path) -> None:
    options = VerifyOptions(trust=from_certificates(SIGNER.read_bytes(), "signer"))
    result = verify_image(image, options)
    assert result.ok, result.checks


@pytest.mark.parametrize("name", SQUASHFS)
@pytest.mark.usefixtures("without_squashfs")
def test_what_could_not_be_read_is_no_pass(image: Path) -> None:
    trust = from_certificates(SIGNER.read_bytes(), "signer")
    result = verify_image(image, VerifyOptions(trust=trust))
    assert not result.ok
    assert {check.name for check in result.checks if not check.passes} == NOT_READ
    assert verify_image(image, VerifyOptions(trust=trust, allow_skip=NOT_READ)).ok


@pytest.mark.parametrize("name", NAMES)
def test_nobody_elses_certificate_proves_it(image: Path, other_pair: SigningPair) -> None:
    trust = from_certificates(other_pair.certificate.read_bytes(), "stranger")
    options = VerifyOptions(trust=trust)
    failed = {check.name for check in verify_image(image, options).checks if not check.passes}
    assert failed == {"trust"}


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_of_the_data_is_found(image: Path) -> None:
    info = inspect_image(image)
    assert info.dissection.data is not None
    assert info.verity is not None
    block = info.verity.data_blocks // 2
    offset = info.dissection.data.partition.offset + block * info.verity.data_block_size
    with image.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
    options = VerifyOptions(trust=from_certificates(SIGNER.read_bytes(), "signer"))
    checks = {check.name: check for check in verify_image(image, options).checks}
    assert checks["verity-tree"].status == "fail"


@pytest.mark.parametrize("name", ["sysext-257", "confext-262"])
def test_the_command_line_gives_the_same_verdicts(image: Path, other_pair: SigningPair) -> None:
    def verify(certificate: Path) -> tuple[int, bool]:
        done = subprocess.run(
            [sys.executable, "-m", "sysgraft", "ext", "verify", image, "--json",
             "--certificate", certificate],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)["ok"]

    assert verify(SIGNER) == (0, True)
    assert verify(other_pair.certificate) == (1, False)
