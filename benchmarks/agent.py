"""How fast does the bundle for nodes start, and how much memory does it take?

    python benchmarks/agent.py [PYTHON]

Makes the bundle of an interpreter (this one, unless another is named), and starts it in turn with
the interpreter itself: `--version`, and the verification of a small signed image, both against
``python -c pass``. Then how small the bundle is as an extension and as an initrd.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Command, interleaved, machine

from sysgraft.build.agent.bundle import AgentOptions, bundle_extension, bundle_folder
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.formats import cpio
from sysgraft.host.zstd import compress
from sysgraft.sign.pair import load_pair
from sysgraft.testing.certificates import make_identity

ROUNDS = 41
CODECS = ("none", "lz4hc", "zstd")
INITRD_LEVELS = (3, 12, 19)
RESIDENT = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""


def signed_image(folder: Path) -> list[str]:
    """A small image and the option that names its signer."""
    identity = make_identity("benchmark")
    (folder / "key").write_bytes(identity.key_pem)
    (folder / "crt").write_bytes(identity.certificate_pem)
    (folder / "tree/usr/lib").mkdir(parents=True)
    (folder / "tree/usr/lib/demo").write_bytes(bytes(100_000))
    signing = load_pair(str(folder / "key"), str(folder / "crt"))
    report = build_extension("demo", [str(folder / "tree")], output=folder, signing=signing)
    return [report.path, f"--certificate={folder / 'crt'}"]


def resident(argv: list[str]) -> int:
    """The most memory that was resident, in bytes, files it maps included.

    A process inherits this figure from the one that starts it, which therefore is a small one.
    """
    words = [sys.executable, "-I", "-S", "-c", RESIDENT, *argv]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return int(done.stdout) << 10


def starting(python: str, root: Path, folder: Path) -> None:
    """Times and memory."""
    program = str(root / "usr/bin/sysgraft")
    commands = [
        Command("python -c pass", [python, "-c", "pass"]),
        Command("python -I -S -c pass", [python, "-I", "-S", "-c", "pass"]),
        Command("sysgraft --version", [program, "--version"]),
        Command("sysgraft ext verify", [program, "ext", "verify", *signed_image(folder)]),
    ]
    times = interleaved(commands, ROUNDS)
    floor = times["python -c pass"].median()
    for command in commands:
        median = times[command.name].median()
        memory = resident([*command.argv])
        ratio = f"{median / floor:5.2f} x"
        print(f"{command.name:22} {median * 1e3:6.1f} ms {ratio} {memory / 1e6:6.1f} MB")


def sizes(options: AgentOptions, folder: Path) -> None:
    """As folder, extensions and initrds."""
    for codec in CODECS:
        building = BuildOptions(compress=codec, replace=True)
        made = bundle_extension(
            str(folder), AgentOptions(python=options.python, extension=building)
        )
        print(f"extension, {codec:11} {Path(made.path).stat().st_size / 1e6:6.1f} MB")
    for level in INITRD_LEVELS:
        size = sum(map(len, compress(cpio.plan(made.agent.tree).chunks(), level)))
        print(f"initrd, zstd level {level:2}  {size / 1e6:6.1f} MB")
    for part, size in sorted(made.agent.sizes.items()):
        print(f"{part:22} {size / 1e6:6.1f} MB")
    print(f"{'all':22} {made.agent.size / 1e6:6.1f} MB")


def main() -> None:
    """Measure and print."""
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    options = AgentOptions(python=python)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(machine())
        report = bundle_folder(str(folder / "root"), options)
        starting(report.agent.python.program, folder / "root", folder)
        sizes(options, folder)


if __name__ == "__main__":
    main()
