"""Targets: what a node reads of its configuration and its command line."""

from __future__ import annotations

from typing import Final

from sysgraft.node.config_document import Document, parse_toml
from sysgraft.node.config_kairos import parse_kairos
from sysgraft.node.config_merge import Merger
from sysgraft.node.config_yaml import load_yaml
from sysgraft.node.configuration import is_loosening_allowed
from sysgraft.node.mapping import extensions_for, problem_of, profiles_for
from sysgraft.node.settings import Check, Mode
from sysgraft.node.versions import newest, split_name
from target import Target, as_text

_TOML: Final = b"""mode = "permissive"
check = "signature"
image_policy = "root=signed"
unsigned = true
fail_boot = false
deny = ["a*", 'b[0-9]']
store = "/var/lib/x"
trust.sources = ["usr"]
trust.certificates = ["/usr/x.crt", \"\"\"
-----BEGIN CERTIFICATE-----
\"\"\"]
[entries]
active = ["main"]
[[map]] # both
extension = "k3sv1.29.*"
entries = ["active", "mine"]
[[map]]
entry = "passive"
extensions = ["k3sv1.30.*"]
"""
_YAML: Final = b"""#cloud-config
users: &all
- name: "x"
  more: {a: [1, ~, yes], <<: {b: !c d}}
sysgraft: {mode: disabled, deny: [a], trust: {sources: [config]}, entries: {active: [mine]}}
sysext_cert: |
  -----BEGIN CERTIFICATE-----
others: *all
extensions:
- "k3sv1.29.*":
  - active
- mine: ["x?", 'y']
"""
_IGNORED: Final = b"extensions: {ignore_signatures: true, catalogs: [x]}\n"


def read_toml(data: bytes) -> None:
    """A file of TOML, and what counts of it."""
    _never_loosens(parse_toml(data, "f"))


def read_cloud_config(data: bytes) -> None:
    """A cloud-config, and what counts of it."""
    _never_loosens(parse_kairos(data, "f"))
    load_yaml(data)


def _never_loosens(document: Document) -> None:
    """Whatever a writable file says, it is as strict as without it."""
    merger = Merger(may_loosen=False)
    merger.begin_layer(measured=False)
    merger.add(document)
    found = merger.finished()
    assert (found.mode, found.check, found.unsigned) == (Mode.ENFORCED, Check.WHOLE, False)
    assert not found.certificates
    names = ("k3sv1.29.1", "k3sv1.30.1", "mine")
    profiles_for(names, found.rules)
    extensions_for(("active", "common"), names, found.rules)


def read_names(data: bytes) -> None:
    """Names of extensions, patterns, and a command line."""
    text = as_text(data)
    names = text.split("\n")
    for name in names:
        family, version = split_name(name)
        assert name.startswith(family)
        assert name.endswith(version)
        assert split_name(family) == (family, "")
        problem_of(name)
    assert newest(newest(names)) == newest(names)
    if is_loosening_allowed(text, started_by_stub=True):
        assert "sysgraft.config=" in text.replace('"', "")
        assert "trusted" in text


TARGETS: Final = (
    Target(
        name="node-toml",
        seeds=lambda: (_TOML, b'[trust]\nsources = []\n[[map]]\nentry = "a"\nextensions = []\n'),
        read=read_toml,
        tokens=(
            b"[[map]]\n",
            b'"""',
            b"'''",
            b"[trust]\n",
            b"= true",
            b"a.b.",
            b"{a = 1}",
            b"\\u0000",
        ),
        weight=15,
    ),
    Target(
        name="node-cloud-config",
        seeds=lambda: (_YAML, _IGNORED),
        read=read_cloud_config,
        tokens=(
            b"&a ",
            b"*a",
            b"!!set ",
            b"<<: ",
            b"---\n",
            b"? ",
            b"- ",
            b"%YAML 1.1\n",
            b"|\n",
            b": ",
        ),
        weight=15,
    ),
    Target(
        name="node-names",
        seeds=lambda: (
            b"fw_1.2\nfirmware-ubuntu-2404-2025.09.01\nk3sv1.30.0+k3s1\na[0-9]*?\n",
            b'quiet a="b c" sysgraft.config=trusted "sysgraft.config=no" -- x',
        ),
        read=read_names,
        tokens=(b"_1", b"-1.2", b"v1.0", b"[!a]", b"sysgraft.config=", b'"', b"--", b"trusted"),
        weight=10,
    ),
)
