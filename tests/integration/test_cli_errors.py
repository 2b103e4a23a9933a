"""Bad input gives one clear line, exit 2, and no file."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from command import Result, signing, sysgraft
from sysgraft.formats.erofs import writer
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import SigningPair


def assert_refused(result: Result, *words: str, output: Path | None = None) -> None:
    assert result.code == 2, result
    assert result.out == ""
    first = result.err.splitlines()[0]
    assert first.startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
    if output is not None:
        assert not list(output.glob("**/*")), "nothing half-written"


def test_a_key_of_another_certificate(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    keys = ("--private-key", signing_pair.key, "--certificate", other_pair.certificate)
    out = tmp_path / "out"
    result = sysgraft("ext", "build", "x", sample_tree, "--output", out, *keys)
    assert_refused(result, "certificate", output=out)


def test_an_encrypted_key_and_its_passphrase(
    sample_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_identity("encrypted")
    key, certificate = tmp_path / "k.pem", tmp_path / "c.pem"
    key.write_bytes(identity.encode_key(passphrase=b"open sesame"))
    certificate.write_bytes(identity.certificate_pem)
    out = tmp_path / "out"
    keys = ("--private-key", str(key), "--certificate", str(certificate))
    argv = ("ext", "build", "x", str(sample_tree), "--output", str(out), *keys)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert_refused(sysgraft(*argv), "encrypted", "--passphrase-file", output=out)
    monkeypatch.setattr(sys, "stdin", None)
    assert_refused(sysgraft(*argv), "encrypted", output=out)
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")
    refused = sysgraft(*argv, "--passphrase-file", wrong)
    assert_refused(refused, "passphrase", output=out)
    assert "guess" not in refused.err
    reader, writer = os.pipe()
    os.write(writer, b"open sesame\n")
    os.close(writer)
    assert sysgraft(*argv, "--passphrase-file", f"/dev/fd/{reader}").code == 0, "as <(…) gives it"
    os.close(reader)
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "open sesame")
    assert sysgraft(*argv, "--force").code == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "x" * 250, "a\nb", "x.raw"])
def test_impossible_names(sample_tree: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    result = sysgraft("ext", "build", name, sample_tree, "--output", out, "--unsigned")
    assert_refused(result, output=out)


def test_missing_and_unusable_sources(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no archive")
    cases: list[tuple[str | Path, str]] = [
        (tmp_path / "absent", "absent"),
        (tmp_path / "text", "text"),
        (tmp_path / "empty", "no files"),
        ("127.0.0.1:1/firmware:24.04", "there is no file or folder 127.0.0.1:1/firmware:24.04"),
        ("docker://127.0.0.1:1/x:1", "127.0.0.1:1: no connection: Connection refused"),
        ("rpm:x.rpm", "no such file"),
    ]
    for source, word in cases:
        result = sysgraft("ext", "build", "x", source, "--output", out, "--unsigned")
        assert_refused(result, word, output=out)


def test_an_existing_image_stays(sample_tree: Path, tmp_path: Path) -> None:
    argv = ("ext", "build", "x", sample_tree, "--output", tmp_path / "out", "--unsigned")
    assert sysgraft(*argv).code == 0
    before = (tmp_path / "out/x.sysext.raw").stat()
    refused = sysgraft(*argv)
    assert refused.code == 2
    assert "--force" in refused.err
    assert (tmp_path / "out/x.sysext.raw").stat() == before
    assert sysgraft(*argv, "--force").code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "no-uuid"),
        ("--arch", "pdp11"),
        ("--release", "NOEQUALS"),
        ("--release", "lower=1"),
        ("--release", "KEY=a\nb"),
        ("--release", "ARCHITECTURE=arm64"),
        ("--source-date-epoch", "-1"),
    ],
)
def test_options_that_make_no_sense(
    sample_tree: Path, tmp_path: Path, options: tuple[str, str]
) -> None:
    out = tmp_path / "out"
    argv = ("ext", "build", "x", sample_tree, "--output", out, "--unsigned", *options)
    assert_refused(sysgraft(*argv), output=out)


@pytest.mark.parametrize("options", [("--systemd-version", "251"), ("--allow-skip", "everything")])
def test_verify_options_that_make_no_sense(tmp_path: Path, options: tuple[str, str]) -> None:
    (tmp_path / "x.raw").write_bytes(b"")
    assert_refused(sysgraft("ext", "verify", tmp_path / "x.raw", *options))


def test_a_file_that_changes_while_it_is_read(
    sample_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: Callable[..., writer.Image] = writer.plan

    def change_then_plan(*args: object, **settings: object) -> object:
        with (sample_tree / "usr/lib/firmware/demo/large.bin").open("ab") as file:
            file.write(b"more")
        return plan(*args, **settings)

    monkeypatch.setattr(writer, "plan", change_then_plan)
    out = tmp_path / "out"
    result = sysgraft("ext", "build", "x", sample_tree, "--output", out, "--unsigned")
    assert_refused(result, "changed", "large.bin", output=out)


@pytest.mark.root
def test_a_full_disk(sample_tree: Path, tmp_path: Path, signing_pair: SigningPair) -> None:
    """A real one: a file system of 200 KiB, smaller than the image."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'set -e; mount --make-rprivate /; mount -t tmpfs -o size=200k tmpfs "$1"; disk=$1; shift; '
        'code=0; "$@" || code=$?; find "$disk" -mindepth 1; exit $code'
    )
    enter = ["unshare", "-m", "sh", "-c", script, "sh"]
    build = [sys.executable, "-m", "sysgraft", "ext", "build", "x", str(sample_tree)]
    done = subprocess.run(
        [*enter, str(disk), *build, "--output", str(disk), *signing(signing_pair)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(Result(done.returncode, done.stdout, done.stderr), "No space left")


@pytest.mark.skipif(sys.platform != "linux", reason="files without names are Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_nothing_behind(
    sample_tree: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Even SIGKILL: the image has no name before it is whole."""
    with (sample_tree / "usr/lib/large").open("wb") as file:
        file.truncate(2 << 30)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sysgraft", "ext", "build", "x", str(sample_tree)]
    with subprocess.Popen([*command, "--unsigned", "--output", str(out)]) as process:
        # The folder is made right before the image is begun.
        while not out.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        code = process.wait(timeout=60)
    expected = -number if number == signal.SIGKILL else 128 + number
    assert code == expected
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("output", ["usr", "usr/lib/images"])
def test_an_output_among_the_sources(sample_tree: Path, output: str) -> None:
    """The image, or the one before it, would become part of what it is made from."""
    argv = ("ext", "build", "x", str(sample_tree), "--unsigned", "--output")
    assert_refused(sysgraft(*argv, sample_tree / output), "inside the source")
    assert not list(sample_tree.rglob("*.raw"))


def test_a_failed_build_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "a/b"
    argv = ("ext", "build", "x", str(tmp_path / "absent"), "--unsigned", "--output", str(out))
    assert_refused(sysgraft(*argv))
    assert not (tmp_path / "a").exists()


def test_a_closed_pipe_is_no_traceback(sample_tree: Path, tmp_path: Path) -> None:
    argv = ("ext", "build", "x", sample_tree, "--output", tmp_path / "out", "--unsigned")
    assert sysgraft(*argv).code == 0
    command = [sys.executable, "-m", "sysgraft", "ext", "inspect", "--files"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, str(tmp_path / "out/x.sysext.raw")],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
