"""Extensions that a target merges or not, each for a reason of its own, alone and in sets.

A guest tries them, and ``ext lint`` foretells what it does. The target trusts two signers, and its
policy is `POLICY`; both are Debian 13's systemd 257.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from lint_kit import Maker
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.formats import gpt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lint_kit import Content
    from sysgraft.sign.pair import SigningPair

POLICY: Final = "root=signed+absent:usr=signed+absent"
SYSTEMD: Final = 257
CONTENT: Final = b"".join(b"%07d\n" % number for number in range(1 << 17))

# Whether each is merged when it is alone.
MERGED: Final = {
    "again": True,
    "ambiguous": False,
    "damaged": True,
    "elsewhere": False,
    "firmware": True,
    "inside": False,
    "misnamed": False,
    "other": False,
    "tampered": False,
    "unsigned": False,
}
# What is merged of a set. What does not match the host is passed over; what else is wrong with one
# ends the merge of all.
SETS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("again", "firmware"): ("again", "firmware"),
    ("again", "damaged"): ("again", "damaged"),
    ("again", "elsewhere"): ("again",),
    ("again", "inside"): ("again",),
    ("again", "misnamed"): (),
    ("again", "ambiguous"): (),
    ("again", "other"): (),
    ("again", "tampered"): (),
    ("again", "unsigned"): (),
    ("elsewhere", "inside"): (),
}


class Signers(NamedTuple):
    """Who signs.

    Attributes:
        own: trusted, by a certificate.
        firmware: trusted, by another one, or by the firmware.
        stranger: trusted by nobody.
    """

    own: SigningPair
    firmware: SigningPair
    stranger: SigningPair


def extension(folder: Path, name: str, signing: SigningPair | None, **release: str) -> Path:
    """An image with a file of several blocks, called after it, and a file that all of them have."""
    tree = folder / f"tree-{name}"
    (tree / "usr/share/demo").mkdir(parents=True)
    (tree / "usr/share/demo" / name).write_bytes(CONTENT)
    (tree / "usr/share/demo/shared").write_text(name)
    options = BuildOptions(release=release)
    build_extension(name, [str(tree)], output=str(folder), signing=signing, options=options)
    return folder / f"{name}.sysext.raw"


def candidates(folder: Path, by: Signers) -> dict[str, Path]:
    """The image of each case."""
    images = {
        "again": extension(folder, "again", by.own),
        "damaged": extension(folder, "damaged", by.own),
        "elsewhere": extension(folder, "elsewhere", by.own, ID="elsewhere"),
        "firmware": extension(folder, "firmware", by.firmware),
        "misnamed": extension(folder, "renamed", by.own).rename(folder / "misnamed.sysext.raw"),
        "other": extension(folder, "other", by.stranger),
        "tampered": extension(folder, "tampered", by.own),
        "unsigned": extension(folder, "unsigned", None),
    }
    flip(images["damaged"], 0, content_offset(images["damaged"]))
    flip(images["tampered"], 1, 4096)  # the root of the hash tree
    make = Maker(folder)
    files: dict[str, Content] = {
        "usr/share/demo/inside": CONTENT,
        "usr/lib/os-release": "ID=debian\n",
    }
    images["inside"] = make.image("inside", files, signing=by.own)
    images["ambiguous"] = make.image("ambiguous", _lax_releases(), release="", signing=by.own)
    return dict(sorted(images.items()))


def _lax_releases() -> dict[str, Content]:
    """Two release files for any name: systemd cannot tell which one is meant."""
    folder = "usr/lib/extension-release.d/extension-release"
    lax = Inode(
        0o100644,
        xattrs=((b"user.extension-release.strict", b"0"),),
        content=BytesBlob(b"ID=_any\n"),
    )
    return {"usr/share/demo/ambiguous": CONTENT, f"{folder}.one": lax, f"{folder}.two": lax}


def flip(image: Path, partition: int, offset: int) -> None:
    """Change one bit of a partition."""
    data = bytearray(image.read_bytes())
    data[gpt.parse(BytesBlob(bytes(data))).partitions[partition].offset + offset] ^= 1
    image.write_bytes(data)


def content_offset(image: Path) -> int:
    """Where in the data partition the middle of the file is."""
    data = image.read_bytes()
    middle = len(CONTENT) // 2
    start = gpt.parse(BytesBlob(data)).partitions[0].offset
    return data.index(CONTENT[middle : middle + 4096], start) - start
