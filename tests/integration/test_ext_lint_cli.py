"""``ext lint`` as a person calls it: images of ``ext build``, options, output and exit codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command import signing, sysgraft
from sysgraft.formats.x509 import load_certificates
from sysgraft.image.lint.finding import RULES
from sysgraft.image.lint.lint import MAX_IMAGES
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from conftest import SigningPair
    from lint_kit import Maker

GUIDE = Path(__file__).parents[2] / "docs/guide/lint.md"


@pytest.fixture
def images(sample_tree: Path, tmp_path: Path, signing_pair: SigningPair) -> list[Path]:
    """Two extensions with one file in both, that of one changed."""
    for name in ("one", "two"):
        (sample_tree / "usr/bin/demo").write_text(name)
        words = ("ext", "build", name, sample_tree, "--output", tmp_path)
        assert sysgraft(*words, *signing(signing_pair)).code == 0
    return [tmp_path / f"{name}.sysext.raw" for name in ("one", "two")]


def test_what_a_person_sees(images: list[Path], signing_pair: SigningPair) -> None:
    done = sysgraft("ext", "lint", *images, "--certificate", signing_pair.certificate)
    assert done.code == 1
    one, two = images
    lines = done.out.splitlines()
    assert lines[0] == "system extensions, as systemd 262 with @sysext, the lowest first"
    assert f"  2  {two}  merges  the root hash is signed by a trusted certificate" in lines
    start = lines.index(
        f"warning: collision: {two}, {one}: they differ in content; that of {two} is seen"
    )
    assert lines[start + 1 : start + 3] == [
        "  /usr/bin/demo",
        "  to do: leave the file out of all but one of them",
    ]
    same = next(line for line in lines if line.startswith("note: same-file"))
    assert "  and 1 more" in lines[lines.index(same) :]
    assert lines[-1] == "1 warning, 2 notes; 2 things not checked"


def test_json_has_everything(images: list[Path]) -> None:
    done = sysgraft("ext", "lint", *images, "--json", "--systemd-version", "257")
    document = done.document
    assert (done.code, document["ok"], document["systemdVersion"]) == (1, False, 257)
    (merge,) = document["merges"]
    assert merge["merged"] == [str(image) for image in images]
    assert [each["outcome"] for each in merge["images"]] == ["if-trusted", "if-trusted"]
    found = {each["code"]: each for each in document["findings"]}
    assert found["collision"]["paths"] == ["/usr/bin/demo"]
    assert found["same-file"]["count"] == len(found["same-file"]["paths"]) == 6


def test_one_image_alone_is_fine(images: list[Path]) -> None:
    assert sysgraft("ext", "lint", images[0]).code == 0


def test_a_signer_that_is_refused(images: list[Path], other_pair: SigningPair) -> None:
    policy = ("--image-policy", "root=signed+absent:usr=signed+absent")
    trust = ("--certificate", other_pair.certificate)
    done = sysgraft("ext", "lint", images[0], *policy, *trust)
    assert done.code == 1
    assert f"  nothing is merged, because of {images[0]}" in done.out
    assert "error: refused" in done.out


def test_a_signer_that_is_revoked(
    images: list[Path], signing_pair: SigningPair, tmp_path: Path
) -> None:
    (certificate,) = load_certificates(signing_pair.certificate.read_bytes())
    dbx = tmp_path / "dbx.esl"
    dbx.write_bytes(certificate_list(certificate.der, owner=UUID(int=1)))
    trust = ("--certificate", signing_pair.certificate, "--dbx", dbx)
    done = sysgraft("ext", "lint", images[0], *trust, "--json")
    assert [each["code"] for each in done.document["findings"]] == ["revoked", "late-devices"]
    assert done.document["merges"][0]["merged"] == [str(images[0])]


def test_a_host(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_ID=13\n")
    options = ("--os-release", tmp_path / "os-release", "--arch", "amd64")
    assert sysgraft("ext", "lint", images[0], *options).code == 0
    done = sysgraft("ext", "lint", images[0], *options[:2], "--arch", "arm64")
    assert done.code == 1
    assert "host-mismatch" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.raw",), "nowhere.raw"),
        (("--hierarchies", "usr"), "hierarchies"),
        (("--systemd-version", "251"), "systemd 251"),
        (("--image-policy", "root"), "policy"),
        (("--host-root", "nowhere"), "usr"),
        (("--kernel-tree", "nowhere"), "kernel modules"),
        (("--os-release", "nowhere"), "os-release"),
        (("--arch", "pdp11"), "pdp11"),
    ],
)
def test_what_makes_no_sense(images: list[Path], words: tuple[str, ...], message: str) -> None:
    done = sysgraft("ext", "lint", images[0], *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_too_many_images(images: list[Path]) -> None:
    assert sysgraft("ext", "lint", *images * MAX_IMAGES).code == 2


def test_a_root_folder_without_kernels_is_not_searched_through(make: Maker) -> None:
    image = make.image("a", {"usr/bin/x": ""})
    root = make.folder_of("root", {"srv/odd/x.ko": b""})
    done = sysgraft("ext", "lint", image, "--kernel-tree", root)
    assert done.code == 2


def test_the_guide_explains_every_finding_at_its_level() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (error|warning|note) \|", GUIDE.read_text(), re.MULTILINE
    )
    assert dict(rows) == {code: str(rule.level) for code, rule in RULES.items()}
    assert len(rows) == len(RULES)
