"""PCR 11, its policies and their signatures against systemd-measure 257."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.formats import pcrsig, uki
from sysgraft.host.digests import digests
from sysgraft.measure import pcr11
from sysgraft.measure.pcr import BANKS
from sysgraft.measure.policy import policy_pcr
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pcr import sign_entry
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conftest import Debian13

pytestmark = pytest.mark.oracle("debian-13")

VERSION: Final = 257
KNOWN: Final = [name for name, since in uki.MEASURED.items() if since <= VERSION]
# systemd-measure sorts them; the default ones are in order anyway.
PHASES: Final = sorted(["", "foo", "a:b:c:d", ":".join(pcr11.PHASES), *pcr11.DEFAULT_PATHS])
# Its options for these two are mixed up: what one names is measured as the other (257.13,
# src/measure/measure.c, _ARG_SECTION_LAST). The stub is not: src/fundamental/uki.h.
SWAPPED: Final = {".dtbauto": "hwids", ".hwids": "dtbauto"}
# Releases before 260 sign with the bank's hash, which no systemd-cryptsetup accepts for other
# banks (src/shared/tpm2-util.c, tpm2_unseal).
COMPARABLE: Final = ("sha256",)

Sections = dict[str, bytes]


def random_sections(seed: int) -> Sections:
    """All sections, or some of them; a few empty ones, which count as absent."""
    source = random.Random(seed)
    names = KNOWN if seed == 0 else source.sample(KNOWN, source.randrange(1, len(KNOWN)))
    sizes = [0, 1, 63, 64, 65, 4096, 100_000]
    found = {name: source.randbytes(source.choice(sizes)) for name in names}
    return found | {".linux": source.randbytes(70_000)}


def measure(
    debian13: Debian13, folder: Path, verb: str, sections: Sections, *options: str
) -> dict[str, list[dict[str, Any]]]:
    """The JSON of one call, for all banks and phases."""
    words = []
    for name, content in sections.items():
        (folder / name).write_bytes(content)
        words.append(f"--{SWAPPED.get(name, name.removeprefix('.'))}=/mnt/in/{name}")
    words += [f"--bank={bank}" for bank in BANKS] + [f"--phase={path or ':'}" for path in PHASES]
    done = debian13.run(
        ["/usr/lib/systemd/systemd-measure", verb, "--json=short", *words, *options],
        binds={folder: "/mnt/in"},
    )
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def values(sections: Sections, bank: str) -> Iterable[tuple[str, bytes]]:
    """Each phase path with the value of PCR 11."""
    measured = [
        pcr11.Measured(name, digests(BytesBlob(content), BANKS))
        for name, content in sections.items()
        if content
    ]
    after = pcr11.after_stub(bank, pcr11.in_order(measured, VERSION))
    for path in PHASES:
        yield path, pcr11.at_phase(bank, after, path)


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_systemd_measure(tmp_path: Path, debian13: Debian13, seed: int) -> None:
    sections = random_sections(seed)
    theirs = measure(debian13, tmp_path, "calculate", sections)
    assert set(theirs) == set(BANKS)
    for bank, entries in theirs.items():
        assert [(each.get("phase", ":"), bytes.fromhex(each["hash"])) for each in entries] == [
            (path or ":", value) for path, value in values(sections, bank)
        ]


def test_every_section_that_systemd_measure_knows_is_measured(
    tmp_path: Path, debian13: Debian13
) -> None:
    told = debian13.run(["/usr/lib/systemd/systemd-measure", "--help"]).stdout
    assert {line.split("→ ")[1] for line in told.splitlines() if "→ ." in line} == set(KNOWN)
    before = measure(debian13, tmp_path, "calculate", {".linux": b"1"})
    for name in KNOWN[1:]:
        after = measure(debian13, tmp_path, "calculate", {".linux": b"1", name: b"2"})
        assert before["sha256"] != after["sha256"]


@pytest.mark.parametrize("seed", range(2))
def test_policies_and_signatures_are_those_of_systemd_measure(
    tmp_path: Path, debian13: Debian13, seed: int
) -> None:
    identity = make_identity("pcr", kind=("rsa-2048", "rsa-3072")[seed])
    (tmp_path / "key.pem").write_bytes(identity.key_pem)
    signer = load_private_key(identity.key_pem)
    sections = random_sections(seed)
    key = "--private-key=/mnt/in/key.pem"
    theirs = measure(debian13, tmp_path, "sign", sections, key)
    ours = {
        bank: tuple(
            sign_entry(pcrsig.Entry((11,), b"", policy_pcr(bank, {11: value})), signer)
            for _, value in values(sections, bank)
        )
        for bank in BANKS
    }
    assert unsigned(pcrsig.parse(json.dumps(theirs))) == unsigned(ours)
    for bank in COMPARABLE:
        assert json.loads(pcrsig.render(ours))[bank] == theirs[bank]
    assert pcrsig.parse(pcrsig.render(ours)) == ours


def unsigned(document: pcrsig.Signatures) -> pcrsig.Signatures:
    return {
        bank: tuple(replace(entry, signature=b"") for entry in entries)
        for bank, entries in document.items()
    }


def test_documents_are_joined_as_systemd_measure_does(tmp_path: Path, debian13: Debian13) -> None:
    (tmp_path / "key.pem").write_bytes(make_identity("pcr").key_pem)
    key = "--private-key=/mnt/in/key.pem"
    one, two = (
        measure(debian13, tmp_path, "sign", {".linux": linux}, key) for linux in (b"1", b"2")
    )
    (tmp_path / "one.json").write_text(json.dumps(one))
    for linux, document in ((b"1", one), (b"2", two)):
        append = (key, "--append=/mnt/in/one.json")
        theirs = measure(debian13, tmp_path, "sign", {".linux": linux}, *append)
        parsed = [pcrsig.parse(json.dumps(each)) for each in (one, document)]
        assert json.loads(pcrsig.render(pcrsig.merge(*parsed))) == theirs
