"""What every test may count on: other tools, two Debian folders, keys, a small tree.

``@pytest.mark.oracle("veritysetup")`` says that a test compares with that program;
``@pytest.mark.oracle("debian-13")`` that it runs programs of the Debian 13 folder which
``scripts/setup-oracles`` makes, ``"debian-sid"`` those of its Debian sid folder, ``"stubs"`` that
it takes the stubs of three systemd releases, ``"kernel-modules"`` the modules of a Debian kernel,
``"firmware-13"`` Debian 13's kernel modules with firmware and the tools that choose of it;
``@pytest.mark.root`` that it mounts or changes root. Where one is missing the test is left out and
named at the end. With the environment variable ``CI``
set nothing may be left out: a missing tool, or any other skip, makes the run fail.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from erofs_kit import fill_compressible
from stubs import find_stubs, missing_stubs
from sysgraft.host.run import which
from sysgraft.host.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from lint_kit import Maker
    from stubs import Stub

IN_CI: Final = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sysgraft")
DEBIAN_13: Final = CACHE / "debian-13"
DEBIAN_SID: Final = CACHE / "debian-sid"
KERNEL_MODULES: Final = CACHE / "kernel-modules"
FIRMWARE_13: Final = CACHE / "firmware-13"

# Loaded machines are slow at random: time limits belong to the few tests that are about time.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if IN_CI else "default")

# Why → the tests left out for it.
_left_out: Final = pytest.StashKey[dict[str, list[str]]]()


# --- Leaving tests out, and saying so ------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Start with nothing left out."""
    config.stash[_left_out] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out, or fail it in CI, when what it compares with is missing."""
    missing = [reason for reason in _missing(item) if reason]
    if not missing:
        return
    if IN_CI:
        pytest.fail(f"required in CI: {'; '.join(missing)}", pytrace=False)
    pytest.skip("; ".join(missing))


def _missing(item: pytest.Item) -> Iterator[str]:
    for marker in item.iter_markers("oracle"):
        yield from (missing_tool(str(tool)) for tool in marker.args)
    if item.get_closest_marker("root") is not None:
        yield missing_root()


# What has to be in folders that scripts/setup-oracles fills, and what it is.
_FETCHED: Final = {
    "firmware-13": (FIRMWARE_13 / "usr/lib/dracut/dracut-install", "Debian's firmware is"),
    "kernel-modules": (KERNEL_MODULES / "usr/lib/modules", "a small kernel's modules are"),
}


@functools.cache
def missing_tool(tool: str) -> str:
    """Why `tool` cannot be used here, or an empty string."""
    if tool == "debian-13":
        return _missing_debian13()
    if tool == "debian-sid":
        return _missing_debian_sid()
    if tool == "stubs":
        return missing_stubs(CACHE)
    if tool in _FETCHED:
        path, what = _FETCHED[tool]
        return "" if path.exists() else f"{what} missing (scripts/setup-oracles fetches it)"
    if which(tool):
        return ""
    package = f" (Debian package {TOOLS[tool].package})" if tool in TOOLS else ""
    return f"the program {tool} is missing{package}"


@functools.cache
def missing_root() -> str:
    """Why this process cannot mount, or an empty string."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "needs root on Linux"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this container may not mount"


def _missing_debian13() -> str:
    if not (DEBIAN_13 / "usr/bin/systemd-repart").exists():
        return "the Debian 13 folder is missing (scripts/setup-oracles makes it)"
    return missing_root()


def _missing_debian_sid() -> str:
    if not (DEBIAN_SID / "usr/lib/systemd/systemd-pcrlock").exists():
        return "the Debian sid folder is missing (scripts/setup-oracles makes it)"
    return missing_root()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note every skipped test, whoever skipped it."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        tests = item.config.stash[_left_out].setdefault(reason.removeprefix("Skipped: "), [])
        tests.append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a run that left something out has failed."""
    if IN_CI and session.config.stash[_left_out] and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """List what was left out."""
    left_out = config.stash[_left_out]
    if left_out:
        terminalreporter.section(f"left out: {sum(map(len, left_out.values()))}", yellow=True)
    for reason, tests in left_out.items():
        terminalreporter.write_line(f"{reason}:")
        for test, count in Counter(test.partition("[")[0] for test in tests).items():
            terminalreporter.write_line(f"  {test}" + (f" ({count})" if count > 1 else ""))


# --- The Debian folders --------------------------------------------------------------------------

# Runs in a mount namespace of its own, so that every mount is gone when it ends. Arguments:
# ROOT [HOST GUEST]… -- PROGRAM ARGUMENT…
_ENTER: Final = """
set -eu
mount --make-rprivate /
root=$1; shift
mount --bind "$root" "$root"
for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
for folder in run tmp var/tmp mnt; do mount -t tmpfs tmpfs "$root/$folder"; done
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class DebianFolder:
    """A root file system whose programs can be run."""

    root: Path

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        binds: Mapping[Path, str | Path] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside, with the folders `binds` (here → there) visible.

        There, ``/tmp``, ``/var/tmp``, ``/run`` and ``/mnt`` are empty and private to
        the call; the current folder is ``/``.

        Raises:
            AssertionError: `check` is set and the program failed; carries its messages.
        """
        pairs = [str(part) for pair in (binds or {}).items() for part in pair]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **(env or {})}
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", _ENTER, "sh", str(self.root), *pairs, "--"]
            + [os.fspath(word) for word in argv],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{argv[0]}: {done.stderr}{done.stdout}"
        return done


class Debian13(DebianFolder):
    """Debian 13: systemd 257, erofs-utils 1.8…"""


class DebianSid(DebianFolder):
    """Debian sid: systemd-pcrlock, -measure and -cryptenroll of systemd 262 or newer."""


@pytest.fixture(scope="session")
def debian13() -> Debian13:
    """The Debian 13 folder; the test carries ``@pytest.mark.oracle("debian-13")``."""
    reason = missing_tool("debian-13")
    if reason:
        pytest.fail(f'mark the test with oracle("debian-13"): {reason}', pytrace=False)
    return Debian13(DEBIAN_13)


@pytest.fixture(scope="session")
def debian_sid() -> DebianSid:
    """The Debian sid folder; the test carries ``@pytest.mark.oracle("debian-sid")``."""
    reason = missing_tool("debian-sid")
    if reason:
        pytest.fail(f'mark the test with oracle("debian-sid"): {reason}', pytrace=False)
    return DebianSid(DEBIAN_SID)


@pytest.fixture(scope="session")
def stubs() -> Mapping[int, Stub]:
    """The stubs 252, 257 and 262; the test carries ``@pytest.mark.oracle("stubs")``."""
    reason = missing_tool("stubs")
    if reason:
        pytest.fail(f'mark the test with oracle("stubs"): {reason}', pytrace=False)
    return find_stubs(CACHE)


# --- Keys and trees ------------------------------------------------------------------------------


class SigningPair(NamedTuple):
    """A private key (PEM, PKCS#8, not encrypted) and its self-signed certificate (PEM)."""

    key: Path
    certificate: Path


@pytest.fixture(scope="session")
def signing_pair(tmp_path_factory: pytest.TempPathFactory) -> SigningPair:
    """An RSA-2048 signer, made afresh for every run."""
    return make_pair(tmp_path_factory.mktemp("signer"), "sysgraft test signer")


@pytest.fixture(scope="session")
def other_pair(tmp_path_factory: pytest.TempPathFactory) -> SigningPair:
    """A second RSA-2048 signer that nobody trusts."""
    return make_pair(tmp_path_factory.mktemp("stranger"), "sysgraft test stranger")


def make_pair(folder: Path, common_name: str) -> SigningPair:
    """Write ``signer.key`` and ``signer.crt`` (RSA-2048, valid 2020 to 2120) into `folder`."""
    from sysgraft.testing.certificates import make_identity  # noqa: PLC0415 - heavy

    identity = make_identity(common_name)
    pair = SigningPair(folder / "signer.key", folder / "signer.crt")
    pair.key.write_bytes(identity.key_pem)
    pair.certificate.write_bytes(identity.certificate_pem)
    return pair


@pytest.fixture
def without_squashfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the optional library that reads squashfs was not installed."""
    monkeypatch.setattr("sysgraft.host.squashfs.find_spec", lambda _: None)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Writes extension images, of whatever is wrong with them, into the test's folder."""
    from lint_kit import Maker  # noqa: PLC0415 - heavy

    return Maker(tmp_path)


@pytest.fixture
def sample_tree(tmp_path: Path) -> Path:
    """A small extension's folder: files of several sizes, a link of each kind, an executable."""
    root = tmp_path / "tree"
    firmware = root / "usr/lib/firmware/demo"
    firmware.mkdir(parents=True)
    (firmware / "empty.bin").write_bytes(b"")
    (firmware / "small.bin").write_bytes(b"small\n")
    (firmware / "block.bin").write_bytes(bytes(range(256)) * 16)
    (firmware / "large.bin").write_bytes(bytes(range(251)) * 1000)
    (firmware / "alias.bin").symlink_to("small.bin")
    (firmware / "same.bin").hardlink_to(firmware / "small.bin")
    program = root / "usr/bin/demo"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho demo\n")
    program.chmod(0o755)
    return root


@pytest.fixture(scope="session")
def compressible_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contents of every shape a compressor meets, and what else folders hold."""
    folder = tmp_path_factory.mktemp("compressible")
    fill_compressible(folder)
    return folder
