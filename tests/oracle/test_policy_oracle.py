"""Image policies, compared with systemd: 257 runs here, 262 is recorded in tests/assets/policy.

`systemd-analyze image-policy` gives the texts and the meaning, `systemd-dissect --validate` the
verdicts on small partition tables. The recordings are made anew, as root, from a folder with the
systemd of Debian unstable in it (packages systemd and systemd-container)::

    python tests/oracle/test_policy_oracle.py FOLDER tests/assets/policy/systemd-262.json
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import tempfile
import uuid
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.errors import FormatError, UsageError
from sysgraft.formats import policy_builtin
from sysgraft.formats.image_policy_flags import DESIGNATORS, FSTYPES, USE, Flag
from sysgraft.image.policy import Found, evaluate
from sysgraft.image.policy_assess import Facts, assess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from conftest import Debian13
    from sysgraft.formats.image_policy import ImagePolicy

    Runner = Callable[[Sequence[str]], str]
    Answers = dict[str, str]

GOLDEN: Final = Path(__file__).parents[1] / "assets" / "policy" / "systemd-262.json"
END: Final = "\x1e"


# --- The language --------------------------------------------------------------------------------


def corpus() -> list[str]:
    """Policies to compare: the built-ins, corner cases, mistakes, and random ones."""
    rng = random.Random(254)
    words = [str(flag.name).lower().replace("_", "-") for flag in Flag] + ["open", "ignore"]
    common = [*words[:7], "open", "ignore"]
    policies = [
        *policy_builtin.NAMES,
        *("", "-", "*", "~", " *", "root", "root=", "root=-", "root=verity+", "root=verity+-"),
        *("root=foo", "foo=verity", "root=verity=signed", ":", "root=verity:", "*:root=verity"),
        *("root=verity:root=signed", "=absent:=absent", "=verity", "=absent:=verity", "@none"),
        *(" root = verity + signed : = absent ", "root=ignore:usr=verity", "Root=verity"),
        *("esp=verity", "root-verity=signed+absent", "root=read-only-on:=read-only-off"),
    ]
    for _ in range(60):
        names = [*rng.sample(DESIGNATORS, rng.randint(0, 3)), *[""] * (rng.random() < 0.3)]
        pool = common if rng.random() < 0.6 else words
        rules = [f"{n}={'+'.join(rng.sample(pool, rng.randint(0, 4)))}" for n in names]
        policies.append(":".join(rules))
    return list(dict.fromkeys(policies))


ASK_LANGUAGE: Final = """
for policy in "$@"; do
    systemd-analyze image-policy -- "$policy" 2>&1 || true
    printf '\\036'
done
"""


def ask_language(run: Runner) -> Answers:
    """What ``systemd-analyze image-policy`` prints for each policy, with single blanks."""
    policies = corpus()
    printed = run(["sh", "-c", ASK_LANGUAGE, "sh", *policies]).split(END)[:-1]
    return {
        p: "\n".join(map(squeezed, text.splitlines()))
        for p, text in zip(policies, printed, strict=True)
    }


def squeezed(line: str) -> str:
    return " ".join(line.split())


def compare_language(answers: Answers, systemd_version: int) -> None:
    assert set(answers) == set(corpus())
    for text, printed in answers.items():
        assert understood(text, systemd_version, printed) == printed, text


def understood(text: str, systemd_version: int, printed: str) -> str:
    """What ``systemd-analyze`` should print for a policy."""
    try:
        policy = policy_builtin.parse_or_builtin(text, systemd_version=systemd_version)
    except (FormatError, UsageError) as error:
        return squeezed(f"Failed to parse image policy '{text}': {refusal(error.message)}")
    return shown(policy, printed)


def refusal(message: str) -> str:
    """What systemd calls that error."""
    kinds = {
        "more than once": "Name not unique on network",  # ENOTUNIQ
        "unknown partition": "Invalid slot",  # EBADSLT
        "unknown flag": "Invalid request code",  # EBADRQC
        "no '='": "Invalid argument",  # EINVAL
        "built-in": "Invalid argument",
    }
    return next(answer for words, answer in kinds.items() if words in message)


def shown(policy: ImagePolicy, printed: str) -> str:
    """What ``systemd-analyze`` should print, with the columns that version has."""
    lines = [f"Analyzing policy: {policy}"]
    if str(policy) != policy.long_form:
        lines.append(f"Long form: {policy.long_form}")
    rows = [["PARTITION", "MODE", "READ-ONLY", "GROWFS", "FSTYPE"]]
    rows += [[d, *_cells(policy, policy.allowed(d))] for d in DESIGNATORS]
    rows.append(["default", *_cells(policy, policy.default)])
    columns = 5 if "FSTYPE" in printed else 4
    return "\n".join([*map(squeezed, lines), "", *(" ".join(row[:columns]) for row in rows)])


def _cells(policy: ImagePolicy, flags: Flag) -> list[str]:
    one_of = {(True, False): "yes", (False, True): "no"}
    attributes = (
        (Flag.READ_ONLY_ON, Flag.READ_ONLY_OFF),
        (Flag.GROWFS_ON, Flag.GROWFS_OFF),
    )
    states = [one_of.get((on in flags, off in flags), "-") for on, off in attributes]
    return [policy.text_of(flags & USE), *states, policy.text_of(flags & FSTYPES)]


# --- The verdicts --------------------------------------------------------------------------------

TYPES: Final = {
    "root": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "root-verity": "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
    "root-verity-sig": "41092b05-9fc8-4523-994f-2def0408b176",
    "usr": "8484680c-9521-48c6-9c11-b0720656f69e",
    "usr-verity": "77ff5f63-e7b6-4633-acf4-1565b864c0e6",
    "usr-verity-sig": "e7bb33fb-06cf-4e81-8273-e543b413e2e2",
    "home": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
}
RO: Final = Found(read_only=True)
ROOT: Final = {"root": RO}
VERITY: Final = {**ROOT, "root-verity": RO}
SIGNED: Final = {**VERITY, "root-verity-sig": RO}
USR_SIGNED: Final = {"usr": RO, "usr-verity": RO, "usr-verity-sig": RO}
IMAGES: Final = {
    "plain": ROOT,
    "verity": VERITY,
    "signed": SIGNED,
    "usr-signed": USR_SIGNED,
    "usr-verity": {"usr": RO, "usr-verity": RO},
    "home": {**ROOT, "home": Found()},
    "growfs": {"root": Found(growfs=True)},
    "luks": {"root": Found(fstype="crypto_LUKS")},
    "luks-integrity": {"root": Found(fstype="crypto_LUKS", integrity=True)},
    "squashfs": {"root": Found(read_only=True, fstype="squashfs")},
}
# Refused under any policy.
IMPOSSIBLE: Final = {
    "root-and-usr-verity": {**VERITY, "usr": RO, "usr-verity": RO},
    "verity-and-usr": {**VERITY, "usr": RO},
}
USES: Final = (
    *("signed", "verity", "verity+signed", "encrypted", "encryptedwithintegrity", "unprotected"),
    *("signed+unused", "unused", "signed+unprotected", "verity+read-only-on", "open+growfs-off"),
    *("signed+read-only-off", "encrypted+unprotected", "ignore", "absent"),
)
POLICIES: Final = (
    *(f"root={use}" for use in USES),
    *(f"root={use}+absent:usr={use}+absent" for use in USES),
    *("*", "~", "=verity", "root=open:root-verity-sig=absent", "root=verity:home=absent"),
    *("root=verity:root-verity-sig=unprotected", "root=signed:root-verity=ignore"),
)
PARTITION_SECTORS: Final = 64
# An image of which everything is ignored is allowed, and of no use.
ALLOWED: Final = ("ok", "No suitable partitions found.")
# A signature in use without its hash partition is refused before the policy is asked.
NO_TREE: Final = "No root hash partition"


def disk(partitions: dict[str, Found]) -> bytes:
    """The smallest partition table with these partitions, and the start of what they hold."""
    entries, body = b"", b""
    for number, (designator, found) in enumerate(partitions.items()):
        start = 40 + number * PARTITION_SECTORS
        attributes = found.read_only << 60 | found.growfs << 59
        entries += uuid.UUID(TYPES[designator]).bytes_le + uuid.UUID(int=number + 1).bytes_le
        entries += struct.pack("<QQQ", start, start + PARTITION_SECTORS - 1, attributes)
        entries += designator.encode("utf-16-le").ljust(72, b"\0")
        body += content(found).ljust(PARTITION_SECTORS * 512, b"\0")
    entries = entries.ljust(128 * 128, b"\0")
    last = 40 + len(body) // 512 + 33
    backup = header(entries, last, 1, last - 32, last)
    mbr = bytes(446) + struct.pack("<B3xB3xII", 0, 0xEE, 1, last) + bytes(48) + b"\x55\xaa"
    front = (mbr + header(entries, 1, last, 2, last) + entries).ljust(40 * 512, b"\0")
    return front + body + entries + backup


def header(entries: bytes, here: int, other: int, table: int, last: int) -> bytes:
    """A GPT header (UEFI 2.10, 5.3.2) as one sector."""
    fields = struct.pack("<QQQQ16s", here, other, 34, last - 33, uuid.UUID(int=99).bytes_le)
    fields += struct.pack("<QIII", table, 128, 128, zlib.crc32(entries))
    start = b"EFI PART" + struct.pack("<II", 0x10000, 92)
    crc = zlib.crc32(start + bytes(8) + fields)
    return (start + struct.pack("<II", crc, 0) + fields).ljust(512, b"\0")


def content(found: Found) -> bytes:
    """As much of a file system or LUKS2 header as libblkid and systemd look at."""
    if found.fstype == "squashfs":
        return struct.pack("<IIIIIHHHHHHQQ", 0x73717368, 1, 0, 131072, 0, 1, 17, 0, 1, 4, 0, 0, 96)
    if found.fstype == "crypto_LUKS":
        integrity = {"integrity": {"type": "hmac(sha256)"}} if found.integrity else {}
        area = json.dumps({"segments": {"0": {"type": "crypt", **integrity}}}).encode()
        return (b"LUKS\xba\xbe" + struct.pack(">HQ", 2, 16384)).ljust(4096, b"\0") + area
    return b""


ASK_VERDICTS: Final = """
folder=$1; shift
for image in "$folder"/*.raw; do
    for policy in "$@"; do
        systemd-dissect --validate --image-policy="$policy" "$image" 2>&1 || true
        printf '%s\\035%s\\036' "${image##*/}" "$policy"
    done
done
"""


def write_images(folder: Path) -> None:
    for name, partitions in {**IMAGES, **IMPOSSIBLE}.items():
        (folder / f"{name}.raw").write_bytes(disk(partitions))


def ask_verdicts(run: Runner, folder: str, policies: Iterable[str]) -> Answers:
    """``ok``, ``policy`` or the error, for every image under every policy."""
    answers = {}
    for answer in run(["sh", "-c", ASK_VERDICTS, "sh", folder, *policies]).split(END)[:-1]:
        lines, _, policy = answer.rpartition("\x1d")
        *words, image = lines.splitlines()
        text = " ".join(words)
        answers[f"{image.removesuffix('.raw')} {policy}"] = verdict_in(text)
    return answers


def verdict_in(text: str) -> str:
    """What the message of ``systemd-dissect`` amounts to."""
    if text == "OK":
        return "ok"
    if "does not match image policy" in text:
        return "policy"
    # 257 and 262 word it differently.
    return NO_TREE if "hash found" in text else text.split(": ", 1)[-1]


def speaks(policy: str, systemd_version: int) -> bool:
    return systemd_version >= 260 or "integrity" not in policy


def compare_verdicts(answers: Answers, systemd_version: int) -> None:
    policies = [policy for policy in POLICIES if speaks(policy, systemd_version)]
    wrong = []
    for name, text in product(IMAGES, policies):
        policy = policy_builtin.parse_or_builtin(text, systemd_version=systemd_version)
        verdict = evaluate(policy, IMAGES[name])
        expected = ALLOWED if verdict.ok else ("policy", NO_TREE)
        if answers[f"{name} {text}"] not in expected:
            wrong.append((name, text, answers[f"{name} {text}"], verdict.reason))
    assert wrong == []


def compare_impossible(answers: Answers, systemd_version: int) -> None:
    for name, partitions in IMPOSSIBLE.items():
        assert answers[f"{name} *"] not in (*ALLOWED, "policy")
        assert not assess(None, Facts(partitions), systemd_version=systemd_version).accepts


# --- Tests ---------------------------------------------------------------------------------------


@cache
def golden() -> dict[str, Answers]:
    recorded: dict[str, Answers] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return recorded


def test_texts_and_meanings_are_those_of_262() -> None:
    compare_language(golden()["language"], 262)


def test_verdicts_are_those_of_262() -> None:
    compare_verdicts(golden()["verdicts"], 262)
    compare_impossible(golden()["verdicts"], 262)


@pytest.mark.oracle("debian-13")
def test_texts_and_meanings_are_those_of_257(debian13: Debian13) -> None:
    compare_language(ask_language(lambda argv: debian13.run(argv).stdout), 257)


@pytest.mark.oracle("debian-13")
def test_verdicts_are_those_of_257(debian13: Debian13, tmp_path: Path) -> None:
    write_images(tmp_path)
    policies = [policy for policy in POLICIES if speaks(policy, 257)]
    answers = ask_verdicts(
        lambda argv: debian13.run(argv, binds={tmp_path: "/mnt/images"}).stdout,
        "/mnt/images",
        policies,
    )
    compare_verdicts(answers, 257)
    compare_impossible(answers, 257)


def record(root: Path, target: Path) -> None:
    """Ask the systemd below `root` and write its answers."""

    def run(argv: Sequence[str]) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["chroot", root, *argv], capture_output=True, text=True, check=True, env=environment
        )
        return done.stdout

    with tempfile.TemporaryDirectory(dir=root / "tmp") as folder:
        write_images(Path(folder))
        inside = "/" + str(Path(folder).relative_to(root))
        answers = {"language": ask_language(run), "verdicts": ask_verdicts(run, inside, POLICIES)}
    target.write_text(json.dumps(answers, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
