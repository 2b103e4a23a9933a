"""sysgraft for nodes: the bundle runs without Python and libc, and nothing misleads it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from jsonschema import Draft202012Validator

import sysgraft
from conftest import SigningPair, make_pair
from elf_kit import program
from golden_images import golden
from sysgraft.build.agent import bundle, trial
from sysgraft.build.extension import build_extension
from sysgraft.cli.main import main
from sysgraft.errors import InputError, ToolError
from sysgraft.formats.elf_dynamic import Dynamic, read_dynamic
from sysgraft.host.files import OpenFile
from sysgraft.host.run import which
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bundles are Linux'")

SCHEMA: Final = Path(__file__).parents[2] / "docs/reference/schemas/sysgraft.node.bundle-1.json"
VERSION: Final = f"sysgraft {sysgraft.__version__}\n"
AGENT: Final = "usr/lib/sysgraft/agent"
MISLEADING: Final = {
    "PATH": "/usr/bin:/bin",
    "PYTHONHOME": "/nonsense",
    "PYTHONPATH": "/nonsense",
    "PYTHONSTARTUP": "/nonsense",
    "PYTHONIOENCODING": "nonsense",
    "LD_LIBRARY_PATH": "/nonsense",
    "LC_ALL": "nonsense",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bundle.AgentReport:
    """A bundle of the interpreter that runs the tests."""
    return bundle.bundle_folder(str(tmp_path_factory.mktemp("agent") / "root"))


@pytest.fixture(scope="module")
def root(made: bundle.AgentReport) -> Path:
    """Its folder."""
    return Path(made.path)


@pytest.fixture
def signed(sample_tree: Path, signing_pair: SigningPair, tmp_path: Path) -> tuple[Path, Path]:
    """A signed image and the signer's certificate."""
    signing = load_pair(str(signing_pair.key), str(signing_pair.certificate))
    report = build_extension("demo", [str(sample_tree)], output=tmp_path, signing=signing)
    return Path(report.path), signing_pair.certificate


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything said."""
    done = subprocess.run(
        [*map(str, words)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} if env is None else env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout


def test_it_runs_from_anywhere(root: Path, tmp_path: Path) -> None:
    assert run(root / "usr/bin/sysgraft", "--version") == (0, VERSION)
    (tmp_path / "link").symlink_to(root / "usr")
    assert run(tmp_path / "link/bin/sysgraft", "--version") == (0, VERSION)
    relative = subprocess.run(
        ["sh", "sysgraft", "--version"], cwd=root / "usr/bin", capture_output=True, check=False
    )
    assert relative.stdout.decode() == VERSION


def test_nothing_in_the_environment_misleads_it(root: Path, signed: tuple[Path, Path]) -> None:
    image, certificate = signed
    program = root / "usr/bin/sysgraft"
    assert run(program, "--version", env=MISLEADING) == (0, VERSION)
    code, said = run(program, "ext", "verify", image, "--certificate", certificate, env=MISLEADING)
    assert (code, "demo" in said) == (0, True), said


def test_what_it_starts_gets_the_callers_environment(root: Path) -> None:
    show = "import os, subprocess; subprocess.run(['/usr/bin/env'], check=True)"
    python = root / AGENT / "bin/python3"
    code, said = run(python, "-c", show, env={**MISLEADING, "LD_PRELOAD": "", "LC_ALL": "C.UTF-8"})
    shown = dict(line.split("=", 1) for line in said.splitlines())
    assert code == 0
    for shells in ("PWD", "SHLVL", "_", "OLDPWD"):
        shown.pop(shells, None)
    assert shown == {**MISLEADING, "LC_ALL": "C.UTF-8"}


def test_its_own_child_processes_use_the_bundle(root: Path, tmp_path: Path) -> None:
    """squashfs is read in a process of its own."""
    image = golden("sysext-252-squashfs", tmp_path)
    program = root / "usr/bin/sysgraft"
    code, said = run(program, "ext", "inspect", "--files", image, env=MISLEADING)
    assert (code, "extension-release." in said) == (0, True), said


def test_a_bundle_makes_no_bundle(root: Path, tmp_path: Path) -> None:
    code, said = run(root / "usr/bin/sysgraft", "node", "bundle", "--output", tmp_path / "out")
    assert code == 2
    assert "a bundle has no sources" in said


def test_modules_come_from_the_bundle(root: Path) -> None:
    show = (
        "import json, sys, sysgraft, cryptography, ssl, msgspec\n"
        "mapped = {line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}\n"
        "json.dump([sys.path, sys.executable, sorted(mapped), ssl.__file__], sys.stdout)"
    )
    code, said = run(root / AGENT / "bin/python3", "-c", show)
    assert code == 0, said
    path, executable, mapped, module = json.loads(said)
    agent = str(root / AGENT)
    assert all(os.path.realpath(each).startswith(agent) for each in (*path, executable, module))
    assert len(mapped) > 5
    assert all(os.path.realpath(each).startswith(agent) for each in mapped)


@pytest.mark.root
@pytest.mark.oracle("busybox")
def test_on_a_node_with_nothing_but_sh(
    root: Path, signed: tuple[Path, Path], tmp_path: Path
) -> None:
    node = tmp_path / "node"
    shutil.copytree(root, node, symlinks=True)
    busybox = which("busybox")
    assert busybox is not None
    assert read_dynamic(OpenFile(busybox)) == Dynamic(), "it has to be static"
    (node / "bin").mkdir()
    shutil.copy(busybox, node / "bin/sh")
    for path in signed:
        shutil.copy(path, node / path.name)
    image, certificate = (f"/{path.name}" for path in signed)
    enter = ("chroot", node, "/usr/bin/sysgraft")
    assert run(*enter, "--version") == (0, VERSION)
    code, said = run(*enter, "ext", "verify", image, "--certificate", certificate)
    assert (code, "demo" in said) == (0, True), said
    assert run(*enter, "ext", "verify", image)[0] == 1
    for words in (("policy", "show", "@sysext-strict"), ("firmware", "scan"), ("ext", "--help")):
        code, said = run(*enter, *words)
        assert code == 0, said


def test_two_builds_are_the_same(root: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere/deeper"
    again.parent.mkdir()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    words = (sys.executable, "-m", "sysgraft", "node", "bundle", "--output", again)
    code, said = run(*words, env=env)
    assert code == 0, said
    assert state(again) == state(root)


def state(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, owner, time and content of everything."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).digest()
        place = str(path.relative_to(root))
        found[place] = (status.st_mode, status.st_uid, int(status.st_mtime), digest)
    return found


def test_nothing_of_the_build_machine_but_its_files(root: Path) -> None:
    home = os.fsencode(os.path.dirname(os.path.abspath(sysgraft.__file__)))
    for path in (root / AGENT / "lib").rglob("sysgraft/**/*.pyc"):
        assert home not in path.read_bytes(), path
    names = {path.name for path in root.rglob("*")}
    assert not names & {"test", "tests", "tkinter", "idlelib", "ensurepip", "__pycache__", "pip"}
    assert list((root / AGENT).rglob("*.py")) == []


def test_the_papers(root: Path, made: bundle.AgentReport) -> None:
    papers = root / "usr/share/doc/sysgraft-agent"
    manifest = json.loads((papers / "manifest.json").read_text())
    assert manifest["architecture"] == made.agent.architecture
    listed = {each["path"]: each["sha256"] for each in manifest["libraries"]}
    agent = root / AGENT
    libraries = [*agent.glob("ld*"), *(agent / "lib").glob("*.so*"), *agent.glob("bin/python3.*")]
    assert listed == {
        f"/{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in libraries
    }
    packages = {each["name"] for each in manifest["packages"]}
    assert {"cryptography", "cffi", "msgspec", "urllib3"} <= packages
    for name in ("cryptography", "msgspec", "urllib3"):
        found = [path.name for path in (papers / "licenses" / name).rglob("*")]
        assert any("LICENSE" in each for each in found), name
    if which("dpkg-query"):
        owned = [each["package"] for each in manifest["libraries"] if each["package"]]
        assert any(each.startswith("libc6 ") for each in owned)
        assert (papers / "licenses/libc6/copyright").is_file()


def test_as_an_extension(
    signing_pair: SigningPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ("--private-key", signing_pair.key, "--certificate", signing_pair.certificate)
    words = ("node", "bundle", "--extension", "--output", tmp_path, "--compress", "lz4", "--json")
    assert main([*map(str, (*words, *pair))]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert sum(document["parts"].values()) == document["size"]
    image = tmp_path / "sysgraft-agent.sysext.raw"
    assert document["path"] == str(image)
    assert document["extension"]["size"] == image.stat().st_size < document["size"]
    assert main(["ext", "verify", str(image), f"--certificate={signing_pair.certificate}"]) == 0
    other = make_pair(tmp_path, "other")
    assert main(["ext", "verify", str(image), f"--certificate={other.certificate}"]) == 1
    assert main(["ext", "lint", str(image), f"--certificate={signing_pair.certificate}"]) == 0
    capsys.readouterr()
    assert main(["ext", "inspect", str(image)]) == 0
    said = capsys.readouterr().out
    assert "EXTENSION_RELOAD_MANAGER=1" in said
    assert "ARCHITECTURE=x86-64" in said or document["architecture"] != "x86-64"
    assert main(["node", "bundle", "--extension", f"--output={tmp_path}", "--unsigned"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--unsigned",),
        ("--compress=zstd",),
        ("--force",),
        ("--private-key=a", "--certificate=b"),
        ("--extension",),
        ("--extension", "--unsigned", "--private-key=a"),
        ("--python=/bin/sh",),
        ("--python=/nonexistent/python3",),
    ],
)
def test_what_makes_no_sense(words: tuple[str, ...], tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["node", "bundle", f"--output={output}", *words]) == 2
    assert not output.exists()


def test_a_folder_that_is_not_empty_is_left_alone(sample_tree: Path) -> None:
    before = sorted(sample_tree.rglob("*"))
    assert main(["node", "bundle", f"--output={sample_tree}"]) == 2
    assert sorted(sample_tree.rglob("*")) == before


def test_a_bundle_that_does_not_start_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_MORE", ("sysgraft_without_this",))
    with pytest.raises(ToolError, match="sysgraft_without_this"):
        bundle.bundle_folder(str(tmp_path / "out"))
    assert [*tmp_path.iterdir()] == []


def test_an_interpreter_without_what_is_needed(tmp_path: Path) -> None:
    """Another one on this machine, or this one without its packages."""
    base = Path(sys.executable).resolve()
    if base == Path(sys.executable):
        pytest.skip("this interpreter has its packages itself")
    options = bundle.AgentOptions(python=str(base))
    with pytest.raises(InputError, match="is not installed for this interpreter"):
        bundle.bundle_folder(str(tmp_path / "out"), options)


def test_an_interpreter_that_lies(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    for said in ("{}", "[", json.dumps(answer(implementation="pypy")), json.dumps(answer())):
        fake.write_text(f"#!/bin/sh\ncat > /dev/null\ncat << 'END'\n{said}\nEND\n")
        fake.chmod(0o755)
        (tmp_path / "program").write_bytes(program(interpreter="/lib/ld-musl-x86_64.so.1"))
        with pytest.raises(InputError):
            bundle.bundle_folder(str(tmp_path / "out"), bundle.AgentOptions(python=str(fake)))


def answer(implementation: str = "cpython") -> dict[str, object]:
    """Of an interpreter that is nowhere."""
    return {
        "implementation": implementation,
        "version": [3, 11, 0],
        "program": "/nonexistent",
        "library": "/nonexistent",
        "extensions": "/nonexistent",
        "suffixes": [".so"],
        "modules": {},
        "distributions": {},
    }
