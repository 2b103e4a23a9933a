"""Capabilities of files: the attribute for a text, and texts that say nothing of a file."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from sysgraft.errors import FormatError
from sysgraft.formats.file_capabilities import XATTR, from_text

NET_RAW, NET_ADMIN, SYS_ADMIN, BPF = 13, 12, 21, 39
ALL = (1 << 41) - 1


def attribute(permitted: int, inheritable: int = 0, *, effective: bool = True) -> bytes:
    return struct.pack(
        "<5I",
        0x02000000 | effective,
        permitted & 0xFFFFFFFF,
        inheritable & 0xFFFFFFFF,
        permitted >> 32,
        inheritable >> 32,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cap_net_raw=ep", attribute(1 << NET_RAW)),
        ("CAP_NET_RAW,cap_net_admin+ep", attribute(1 << NET_RAW | 1 << NET_ADMIN)),
        ("= cap_net_raw+ep", attribute(1 << NET_RAW)),
        ("cap_bpf=p", attribute(1 << BPF, effective=False)),
        ("cap_bpf=e+p cap_bpf-e", attribute(1 << BPF, effective=False)),
        ("cap_net_raw=eip", attribute(1 << NET_RAW, 1 << NET_RAW)),
        ("=ep cap_sys_admin-ep", attribute(ALL & ~(1 << SYS_ADMIN))),
        ("all=i", attribute(0, ALL, effective=False)),
        ("cap_net_raw=ep cap_net_raw=", attribute(0, effective=False)),
    ],
)
def test_texts(text: str, expected: bytes) -> None:
    assert from_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "cap_nothing=ep",
        "cap_net_raw",
        "+ep",
        "cap_net_raw+",
        "cap_net_raw=ep=p",
        "cap_net_raw=x",
        "cap_net_raw,=p",
        "cap_net_raw=e cap_net_admin=p",
        "é=p",
    ],
)
def test_what_is_no_text_of_a_file(text: str) -> None:
    with pytest.raises(FormatError):
        from_text(text)


@pytest.mark.root
@pytest.mark.oracle("setcap")
@pytest.mark.parametrize(
    "text",
    ["cap_net_raw,cap_net_admin=ep", "cap_bpf=p", "= cap_sys_admin+eip", "cap_kill=i", "all=ep"],
)
def test_setcap_writes_the_same(tmp_path: Path, text: str) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"")
    subprocess.run([shutil.which("setcap") or "setcap", text, file], check=True)
    written = os.getxattr(file, XATTR)
    if text == "all=ep":  # as many as the running kernel has
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        assert written == attribute((1 << last + 1) - 1)
        assert last + 1 == ALL.bit_count()
    else:
        assert written == from_text(text)


def test_a_book_is_not_repeated() -> None:
    with pytest.raises(FormatError) as caught:
        from_text("cap_chown=e cap_kill=p " * 2000)
    assert len(str(caught.value)) < 200
