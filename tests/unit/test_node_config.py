"""The configuration of a node: what files may say, and which of them counts."""

from __future__ import annotations

import importlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sysgraft.errors import FormatError, InputError, LimitError, SysgraftError, ToolError
from sysgraft.node.config_document import parse_toml
from sysgraft.node.config_kairos import parse_kairos
from sysgraft.node.config_yaml import load_yaml
from sysgraft.node.configuration import Configuration, is_loosening_allowed, read_configuration
from sysgraft.node.settings import KEYS, Check, MapRule, Mode, Settings

yaml: Any = importlib.import_module("yaml")

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
USR, ETC, OEM = "usr/lib/sysgraft/config.toml", "etc/sysgraft/config.toml", "oem/90.yaml"
PAGE = Path(__file__).parents[2] / "docs/reference/node-configuration.md"
WHOLE = f'''
layout = "kairos"
store = "/var/lib/store"
esp = "/efi"
mode = "permissive"
check = "signature"
image_policy = "root=signed+absent"
fail_boot = true
unsigned = true
judge_others = false
deny = ["bad", "k3s*"]
[trust]
sources = ["usr", "config"]
certificates = ["""{PEM}""", "/usr/share/x.crt"]
[entries]
active = ["main*"]
recovery = []
[[map]]
extension = "k3sv1.29.*"
entries = ["active", "customEntry"]
[[map]]
entry = "passive"
extensions = ["k3sv1.30.*", "rke2*"]
'''


@pytest.fixture
def system(tmp_path: Path) -> Path:
    for folder in ("usr/lib/sysgraft/config.d", "etc/sysgraft/config.d", "oem"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def put(system: Path, **files: str) -> None:
    for name, text in files.items():
        (system / {"usr": USR, "etc": ETC, "oem": OEM}[name]).write_text(text)


def read(system: Path, *, trusted: bool = False, **more: Any) -> Configuration:
    return read_configuration(str(system), may_loosen=trusted, **more)


# --- One file ------------------------------------------------------------------------------------


def test_every_key_is_read() -> None:
    found = parse_toml(WHOLE.encode(), "f")
    assert (found.layout, found.store, found.esp) == ("kairos", "/var/lib/store", "/efi")
    assert (found.mode, found.check) == (Mode.PERMISSIVE, Check.SIGNATURE)
    assert found.image_policy == "root=signed+absent"
    assert (found.fail_boot, found.unsigned, found.judge_others) == (True, True, False)
    assert found.deny == ("bad", "k3s*")
    assert found.sources == ("usr", "config")
    assert found.certificates == (PEM, "/usr/share/x.crt")
    assert found.entries == {"active": ("main*",), "recovery": ()}
    assert found.rules == (
        MapRule(("k3sv1.29.*",), ("active", "customEntry")),
        MapRule(("k3sv1.30.*", "rke2*"), ("passive",)),
    )


def test_an_empty_file_says_nothing(system: Path) -> None:
    put(system, usr="", etc="# nothing\n", oem="")
    assert read(system).settings == Settings()
    assert read(system).notes == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("denny = []", "unknown key denny", "did you mean deny?"),
        ("zzz = 1", "unknown key zzz", "known: layout, store"),
        ("trust.source = []", "unknown key trust.source", "did you mean trust.sources?"),
        ("[entries]\ncommon = []", "unknown key entries.common", "known: active, passive"),
        ("mode = 3", "mode has to be a text, not a number", ""),
        ("mode = 'off'", "mode is not known: 'off'", "enforced, permissive, disabled"),
        ("fail_boot = 'yes'", "fail_boot has to be true or false, not a text", ""),
        ("unsigned = 1", "unsigned has to be true or false, not a number", ""),
        ("deny = 'x'", "deny has to be a list, not a text", ""),
        ("deny = [2024-01-01]", "a value in deny has to be a text, not a date or time", ""),
        ("deny = ['']", "deny: '' is no pattern: it is empty", ""),
        ("deny = ['a[b']", "deny: 'a[b' is no pattern: a bracket is not closed", ""),
        ("deny = ['a/b']", "names have no slash", ""),
        ("deny = ['[z-a]']", "a set of characters in a pattern", ""),
        (f"deny = ['{'a' * 256}']", "more than 255 characters", ""),
        ("trust = 1", "trust has to be a table, not a number", ""),
        ("trust.sources = ['moon']", "trust.sources is not known: 'moon'", "firmware, usr"),
        ("trust.certificates = ['x']", "neither PEM text nor a plain absolute path", ""),
        ("trust.certificates = ['/a/../b']", "neither PEM text nor a plain absolute path", ""),
        (
            "trust.certificates = ['-----BEGIN EC PRIVATE KEY-----']",
            "trust.certificates has a private key in it",
            "",
        ),
        ("store = 'var'", "store is not a plain absolute path: 'var'", ""),
        ("esp = '/a/../b'", "esp is not a plain absolute path", ""),
        ('store = "/a\\u0000"', "store has a NUL in it", ""),
        ("image_policy = 'root=nonsense'", "image_policy: ", ""),
        ("image_policy = '@nothing'", "image_policy: no built-in policy", ""),
        ("map = 1", "map has to be a list of tables", ""),
        ("map = [1]", "map 1 has to be a table, not a number", ""),
        ("[[map]]\nextension = 'a'", "map 1 has no entries", ""),
        ("[[map]]\nentry = 'a'", "map 1 has no extensions", ""),
        ("[[map]]\nentry = 'a'\nentries = ['b']", "unknown key map 1.entries", ""),
        ("[[map]]\nextension = 'a'\nentries = []", "map 1 names no entry", "deny"),
        ("[[map]]\nextension = 'a'\nentries = ['*']", "'*' is no name of a boot entry", ""),
        ("[[map]]\nextension = 'a'\nentries = ['a/b']", "'a/b' is no name of a boot entry", ""),
        ("[[map]]\nextension = 'a'\nentries = ['..']", "'..' is no name of a boot entry", ""),
        ("a = ]", "not TOML: Invalid value (at line 1", ""),
        ("\nmode = 'enforced'\nmode = 'disabled'", "not TOML: Cannot overwrite", ""),
        ("\0", "not TOML", ""),
    ],
)
def test_what_is_not_known_is_named(text: str, message: str, hint: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_toml(text.encode(), "/etc/sysgraft/config.toml")
    assert caught.value.file == "/etc/sysgraft/config.toml"
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"#" * (1 << 20) + b"\n", "more than 1048576 bytes"),
        (b"deny = [" + b"'a'," * 1001 + b"]", "1001 values"),
        (b"[[map]]\n" * 1001, "1001 rules"),
        (f'trust.certificates = ["""{PEM * 65}"""]'.encode(), "65 certificates"),
        (b".".join([b"a"] * 18) + b" = 1", "line 1: more than 16 points"),
        (b'a = ["""\n""", {%s=1}, "x"]' % b".".join([b"a"] * 18), "line 2: more than 16 points"),
    ],
)
def test_there_are_limits(text: bytes, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        parse_toml(text, "f")


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"[" * 500_000,
        b"a = " + b"{b=" * 200_000,
        b"\xff\xfe",
        b"a = " + b"9" * 100_000,
        b"a." * 500_000,
        b'"""\\' * 250_000,
        b"'''" * 349_000,
        b'"' * 1_000_000,
        b'"a".' * 250_000,
        b"".join(b"a.b" * 8 + b".c%d=1\n" % number for number in range(32_000)),
        b"\n[a]" * 200_000,
        b"[[map]]\nextension='a'\n" * 40_000,
        b"a = '" + b"x" * 1_000_000 + b"'",
    ],
)
def test_hostile_toml_is_refused_soon(text: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(FormatError):
        parse_toml(text, "f")
    assert time.monotonic() - start < 15, "seconds even on a slow machine"


# --- Cloud-configs -------------------------------------------------------------------------------

SEED = """#cloud-config
install:
  device: auto
stages:
  boot:
  - name: others' own
    commands: [!!python/object/apply:os.system ["false"]]
sysext_cert: |
  -----BEGIN CERTIFICATE-----
  MIIB
  -----END CERTIFICATE-----
"""
BY_PATTERN = """
extensions:
  - "k3sv1.29.*":
    - active
    - customEntry
  - "k3sv1.30.*":
    - passive
"""
BY_ENTRY = """
extensions:
  - active:
    - "k3sv1.29.*"
    - "rke2v1.28.*"
  - passive: ["k3sv1.30.*"]
  - mine: "x*"
  - common: [firmware]
"""


def test_both_spellings_of_the_map() -> None:
    found = parse_kairos((SEED + BY_PATTERN).encode(), "f")
    assert found.certificates == (PEM,)
    assert found.rules == (
        MapRule(("k3sv1.29.*",), ("active", "customEntry")),
        MapRule(("k3sv1.30.*",), ("passive",)),
    )
    found = parse_kairos((SEED + BY_ENTRY).encode(), "f", known_entries=["mine", "x*"])
    assert found.rules == (
        MapRule(("k3sv1.29.*", "rke2v1.28.*"), ("active",)),
        MapRule(("k3sv1.30.*",), ("passive",)),
        MapRule(("x*",), ("mine",)),
        MapRule(("firmware",), ("common",)),
    )


def test_a_key_that_is_no_known_entry_is_a_pattern() -> None:
    with pytest.raises(FormatError, match=r"'x\*' is no name of a boot entry"):
        parse_kairos((SEED + BY_ENTRY).encode(), "f")
    own = "sysgraft:\n  entries:\n    active: [mine]\n"
    assert parse_kairos((own + BY_ENTRY).encode(), "f").rules is not None


def test_own_keys_are_those_of_toml() -> None:
    text = """sysgraft:
  mode: enforced
  fail_boot: yes
  deny: [bad]
  trust: {sources: [firmware], certificates: [/usr/x.crt]}
  map: [{extension: a, entries: [active]}]
extensions: [{b: passive}]
"""
    found = parse_kairos(text.encode(), "f")
    assert (found.mode, found.fail_boot, found.deny) == (Mode.ENFORCED, True, ("bad",))
    assert (found.sources, found.certificates) == (("firmware",), ("/usr/x.crt",))
    assert found.rules == (MapRule(("a",), ("active",)), MapRule(("b",), ("passive",)))


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("extensions: {ignore_signatures: true, catalogs: [x], later: 1}", Mode.DISABLED),
        ("extensions: {ignore_signatures: false}", None),
        ("extensions: {catalogs: [x]}", None),
        ("extensions:\n", None),
        ("extensions: {ignore_signatures: true}\nsysgraft: {mode: enforced}", Mode.ENFORCED),
    ],
)
def test_the_map_of_newer_kairos(text: str, mode: Mode | None) -> None:
    found = parse_kairos(text.encode(), "f")
    assert (found.mode, found.rules) == (mode, None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"- sysgraft\n",
        b"just a text about sysgraft",
        b"hostname: x\n",
        b"not: [yaml, but of no concern",
        b"\xff\xfe\0 of no concern either",
        b"\xef\xbb\xbfsysgraft:\n",
        b"sysext_cert: ''\n",
    ],
)
def test_files_of_others_say_nothing(text: bytes) -> None:
    found = parse_kairos(text, "f")
    assert (found.mode, found.rules, found.certificates) == (None, None, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sysgraft: {mod: enforced}", "unknown key sysgraft.mod"),
        ("sysgraft: [1]", "sysgraft has to be a table, not a list"),
        ("sysgraft: {mode: !evil enforced}", "sysgraft.mode has to be a text, not a value with a"),
        ("sysgraft: !!python/name:os.system {}", "sysgraft has to be a table, not a value with a"),
        ("sysgraft: {deny: [1.29]}", "not a number (quotes make it a text)"),
        ("sysgraft: {deny: [~]}", "not nothing"),
        ("sysgraft: {1: 2}", "unknown key sysgraft.a number"),
        ("extensions: text", "extensions has to be a list or a map, not a text"),
        ("extensions: [text]", "extensions 1 has to be a map with one key"),
        ("extensions: [{a: [active], b: [active]}]", "extensions 1 has to be a map with one key"),
        ("extensions: [{1.29: [active]}]", "the key of extensions 1 has to be a text"),
        ("extensions: [{a: []}]", "extensions 1 names no entry"),
        ("extensions: [{'a[': [active]}]", "a bracket is not closed"),
        ("extensions: {ignore_signatures: 1}", "has to be true or false, not a number"),
        ("sysext_cert: MIIB", "neither PEM text nor"),
        ("sysext_cert: {a: b}", "a value in sysext_cert has to be a text, not a table"),
        ("a: [sysgraft\nb: c", "line 2: not YAML"),
        ("a: 1\nsysgraft: {}\nsysgraft: {}", "line 1: the key 'sysgraft' twice in one map"),
        ("sysgraft: *x", "line 1: an alias of nothing"),
        ("sysgraft: &x [*x]", "line 1: an alias of nothing, or inside"),
        ("sysgraft: {}\n---\na: b", "line 2: a second document"),
        ("sysgraft: \x07", "not YAML"),
        ("sysgraft: '\0'", "not YAML"),
        ('sysgraft: {store: "/a\\0"}', "sysgraft.store has a NUL"),
        ('sysgraft: "\\UFFFFFFFF"', "not YAML"),
        ("sysgraft: " + "[" * 70 + "]" * 70, "deeper than 64"),
    ],
)
@pytest.mark.parametrize("is_pure", [False, True])
def test_cloud_configs_that_are_refused(
    text: str, message: str, is_pure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_pure:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    with pytest.raises(FormatError) as caught:
        parse_kairos(text.encode(), "/oem/1.yaml")
    assert message in caught.value.message
    assert caught.value.file == "/oem/1.yaml"


def test_yaml_of_others_is_read_as_far_as_it_has_to_be() -> None:
    data = b"a: &x [1, 2024-01-01, !!set {b}, yes, ~, '3', !!str 4]\nb: *x\n? [k]\n: {2: c}\n"
    found = load_yaml(data)
    assert isinstance(found, dict)
    assert found["a"] is found["b"]
    assert found["a"][3:] == [True, None, "3", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "sysgraft: &a [x]\n" + "".join(f"k{n}: &k{n} [*a, *a]\n" for n in range(60_000)),
        "a0: &a0 [sysgraft]\n"
        + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(30)),
        "sysgraft:\n" + "- a\n" * 250_000,
        "# sysgraft\n" + "[" * 1_000_000,
        "# sysgraft\n" + "{" * 1_000_000,
        "# sysgraft\n" + "- " * 500_000,
        "# sysgraft\n" + "? " * 500_000,
        "# sysgraft\n" + "".join("\n" + " " * n + "a:" for n in range(1200)),
        "sysgraft" * 131_073,
    ],
)
def test_hostile_yaml_is_refused_soon(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(FormatError):
        parse_kairos(text.encode(), "f")
    assert time.monotonic() - start < 15, "seconds even on a slow machine"


def test_without_pyyaml_only_files_of_others_can_be_read(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    put(system, oem="hostname: x\n")
    assert read(system).settings == Settings()
    put(system, oem="sysgraft: {mode: enforced}\n")
    with pytest.raises(ToolError, match=r"90\.yaml: YAML cannot be read") as caught:
        read(system)
    assert "sysgraft[node]" in caught.value.hint
    assert "sysgraft[node]" in str(read(system, tolerant=True).notes[0])


def test_the_reader_of_python_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (SEED + BY_PATTERN, SEED + BY_ENTRY.replace('"x*"', "active"))
    by_c = [parse_kairos(text.encode(), "f") for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert [parse_kairos(text.encode(), "f") for text in texts] == by_c


# --- Who may set what ----------------------------------------------------------------------------

LOOSE = f'''mode = "disabled"
check = "signature"
unsigned = true
judge_others = false
trust.certificates = ["""{PEM}"""]
'''
LOOSE_OEM = """sysgraft: {{{}, check: signature, unsigned: true, judge_others: false}}
sysext_cert: |
  -----BEGIN CERTIFICATE-----
  MIIB
  -----END CERTIFICATE-----
"""


def test_the_system_may_loosen(system: Path) -> None:
    put(system, usr=LOOSE + "fail_boot = true")
    found = read(system)
    assert found.notes == ()
    assert found.settings.mode is Mode.DISABLED
    assert found.settings.check is Check.SIGNATURE
    assert (found.settings.unsigned, found.settings.judge_others) == (True, False)
    assert found.settings.certificates == (PEM,)
    place = str(system / USR)
    assert found.settings.origins == dict.fromkeys(
        ("mode", "check", "unsigned", "judge_others", "certificates", "fail_boot"), place
    )


@pytest.mark.parametrize("name", ["etc", "oem"])
def test_what_is_writable_may_not(system: Path, name: str) -> None:
    put(system, **{name: LOOSE if name == "etc" else LOOSE_OEM.format("mode: disabled")})
    found = read(system)
    assert found.settings == Settings()
    why = ": writable, and the command line has no sysgraft.config=trusted"
    assert [note.message.removesuffix(why) for note in found.notes] == [
        "mode stays enforced, disabled is not taken",
        "check stays whole, signature is not taken",
        "unsigned stays false, true is not taken",
        "judge_others stays true, false is not taken",
        "certificates are not taken",
    ]
    assert all(note.message.endswith(why) for note in found.notes)
    assert str(found.notes[0]).startswith(str(system))


@pytest.mark.parametrize("name", ["etc", "oem"])
def test_with_the_switch_it_may(system: Path, name: str) -> None:
    text = LOOSE if name == "etc" else LOOSE_OEM.format("layout: auto")
    ignored = "" if name == "etc" else "extensions: {ignore_signatures: true}\n"
    put(system, usr='mode = "permissive"\nfail_boot = true', **{name: ignored + text})
    found = read(system, trusted=True)
    assert found.notes == ()
    assert found.settings.mode is Mode.DISABLED
    assert (found.settings.unsigned, found.settings.judge_others) == (True, False)
    assert found.settings.certificates == (PEM,)
    assert found.settings.origins["fail_boot"] == str(system / USR)


def test_what_is_writable_may_tighten(system: Path) -> None:
    put(
        system,
        usr=LOOSE + 'deny = ["a"]\nimage_policy = "root=signed+verity+absent"',
        etc='mode = "permissive"\ncheck = "whole"\ndeny = ["b"]\n'
        'trust.sources = ["firmware", "usr"]\nimage_policy = "root=signed"',
        oem="sysgraft: {mode: enforced, unsigned: false, fail_boot: true, deny: [a, c],\n"
        "  judge_others: true, trust: {sources: [usr]}}",
    )
    found = read(system)
    settings = found.settings
    assert found.notes == ()
    assert (settings.mode, settings.check) == (Mode.ENFORCED, Check.WHOLE)
    assert (settings.unsigned, settings.fail_boot, settings.judge_others) == (False, True, True)
    assert settings.deny == ("a", "b", "c")
    assert settings.sources == ("usr",)
    assert settings.image_policy == "root=signed"
    assert settings.origins["sources"] == str(system / OEM)
    assert settings.origins["image_policy"] == str(system / ETC)


def test_what_a_lower_writable_file_tightened_stays(system: Path) -> None:
    put(
        system,
        usr='mode = "disabled"',
        etc='mode = "enforced"\ntrust.sources = []\nfail_boot = true',
        oem="sysgraft: {mode: permissive, fail_boot: false, trust: {sources: [config, usr]}}",
    )
    found = read(system)
    assert (found.settings.mode, found.settings.sources) == (Mode.ENFORCED, ())
    assert found.settings.fail_boot
    assert "trust.sources is not widened by config, usr" in found.notes[2].message


def test_a_certificate_the_system_names_lies_in_it(system: Path) -> None:
    put(system, usr='trust.certificates = ["/usr/a.crt", "/etc/b.crt", "/usrx/c.crt"]')
    found = read(system)
    assert found.settings.certificates == ("/usr/a.crt",)
    assert "certificates outside of /usr/ are not taken" in found.notes[0].message
    assert read(system, trusted=True).settings.certificates[1] == "/etc/b.crt"


def test_policies_without_anything_in_common(system: Path) -> None:
    put(
        system,
        usr='image_policy = "root=signed"',
        etc='image_policy = "root=unprotected"\nstore = "/x"',
    )
    with pytest.raises(FormatError, match=r"config\.toml: image_policy: together"):
        read(system)
    found = read(system, tolerant=True)
    assert found.settings.image_policy == "root=signed"
    assert found.settings.store == ""
    assert found.broken == (str(system / ETC),)


def test_the_rules_of_a_layer_belong_together(system: Path) -> None:
    rule = '[[map]]\nextension = "{}"\nentries = ["active"]\n'
    put(system, usr=rule.format("a"))
    assert [r.patterns for r in read(system).settings.rules] == [("a",)]
    put(system, etc=rule.format("b"))
    (system / "etc/sysgraft/config.d/2.toml").write_text(rule.format("c"))
    (system / "etc/sysgraft/config.d/.3.toml").write_text("hidden")
    (system / "etc/sysgraft/config.d/3.toml~").write_text("another's")
    assert [r.patterns for r in read(system).settings.rules] == [("b",), ("c",)]
    put(system, oem="extensions: [{d: active}]")
    (system / "oem/91.yml").write_text("extensions: [{e: passive}]")
    assert [r.patterns for r in read(system).settings.rules] == [("d",), ("e",)]
    (system / "oem/92.yaml").write_text("sysgraft: {map: []}")
    assert read(system).settings.rules[1].entries == ("passive",)


def test_entries_are_known_to_the_maps_above(system: Path) -> None:
    put(
        system,
        usr='[entries]\nactive = ["main", "m*"]\nrecovery = ["r"]',
        etc='entries.recovery = ["rescue"]\nlayout = "generic"',
        oem="extensions: [{main: ['a*']}, {rescue: [b]}, {theirs: [c]}]",
    )
    found = read(system, known_entries=["theirs"]).settings
    assert found.entries == {"active": ("main", "m*"), "recovery": ("rescue",)}
    assert [rule.entries for rule in found.rules] == [("main",), ("rescue",), ("theirs",)]
    assert found.layout == "generic"
    (system / "oem/10.yaml").write_text("sysgraft: {entries: {passive: [theirs]}}")
    assert read(system).settings.rules[2].entries == ("theirs",)


# --- Files ---------------------------------------------------------------------------------------


def test_a_system_without_configuration(tmp_path: Path) -> None:
    assert read(tmp_path) == Configuration(Settings())


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (USR, "../../../etc/sysgraft/other.toml"),
        (ETC, "other.toml"),
        ("etc/sysgraft/config.d/1.toml", "../other.toml"),
        ("oem/1.yaml", "/dev/null"),
        ("oem/1.yaml", "nothing"),
    ],
)
def test_links_are_errors_that_name_them(system: Path, path: str, target: str) -> None:
    (system / "etc/sysgraft/other.toml").write_text('mode = "disabled"')
    (system / path).symlink_to(target)
    with pytest.raises(InputError, match="symbolic link") as caught:
        read(system)
    assert caught.value.file == str(system / path)


@pytest.mark.parametrize("path", ["usr/lib/sysgraft", "etc/sysgraft", "oem", "usr/lib", "etc"])
def test_links_on_the_way_are_errors_too(tmp_path: Path, path: str) -> None:
    (tmp_path / "elsewhere/sysgraft").mkdir(parents=True)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="symbolic link") as caught:
        read(tmp_path)
    assert caught.value.file == str(tmp_path / path)


@pytest.mark.parametrize("path", [USR, ETC, OEM])
def test_what_is_no_file_is_an_error_and_waits_for_nobody(system: Path, path: str) -> None:
    os.mkfifo(system / path)
    with pytest.raises(InputError, match="not a regular file"):
        read(system)


def test_a_file_in_a_folders_place(tmp_path: Path) -> None:
    (tmp_path / "oem").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        read(tmp_path)


def test_too_many_files(system: Path) -> None:
    for number in range(257):
        (system / f"oem/{number}.yaml").touch()
    with pytest.raises(LimitError, match="more than 256 files"):
        read(system)


@pytest.mark.parametrize(
    ("name", "text"), [("etc", "mode = \n"), ("oem", "\nsysgraft: [\n"), ("etc", "x" * (1 << 21))]
)
def test_a_broken_writable_file(system: Path, name: str, text: str) -> None:
    put(system, usr=LOOSE + 'store = "/x"', **{name: text})
    with pytest.raises(InputError, match=r"line|too large"):
        read(system)
    found = read(system, tolerant=True)
    assert found.broken == (str(system / (ETC if name == "etc" else OEM)),)
    assert "it is not taken: " in found.notes[0].message
    assert "while it is broken, the mode is enforced" in found.notes[1].message
    assert (found.settings.mode, found.settings.check) == (Mode.ENFORCED, Check.WHOLE)
    assert (found.settings.unsigned, found.settings.judge_others) == (False, True)
    assert found.settings.store == "/x"
    assert "mode" not in found.settings.origins


def test_a_link_in_a_writable_folder_is_passed_over_too(system: Path) -> None:
    put(system, oem="sysgraft: {deny: [a]}")
    (system / ETC).symlink_to("x")
    found = read(system, tolerant=True)
    assert found.settings.deny == ("a",)
    assert found.broken == (str(system / ETC),)


def test_a_broken_file_of_the_system_is_an_error_at_any_rate(system: Path) -> None:
    put(system, usr="x")
    with pytest.raises(InputError):
        read(system, tolerant=True)


# --- The switch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmdline", "allowed"),
    [
        ("", False),
        ("quiet sysgraft.config=trusted\n", True),
        ("sysgraft.config=trusted", True),
        ("sysgraft.config=trusted sysgraft.config=no", False),
        ("sysgraft.config=no sysgraft.config=trusted", True),
        ("sysgraft.config=trusted sysgraft.config", False),
        ("sysgraft.config=trustedx", False),
        ("xsysgraft.config=trusted", False),
        ("sysgraft.config =trusted", False),
        ('sysgraft.config="trusted"', True),
        ('"sysgraft.config=trusted"', True),
        ('a="b sysgraft.config=trusted c"', False),
        ('a="b c" sysgraft.config=trusted', True),
        ('a=" sysgraft.config=trusted', False),
        ('a="x" b" sysgraft.config=trusted"', False),
        ("-- sysgraft.config=trusted", False),
        ("sysgraft.config=trusted -- sysgraft.config=no", True),
        ("a\tsysgraft.config=trusted\x0bb", True),
        ("a\xa0sysgraft.config=trusted", True),
        ("a\u2003sysgraft.config=trusted", False),
        ("SYSGRAFT.CONFIG=trusted", False),
    ],
)
def test_the_switch_on_the_command_line(cmdline: str, allowed: bool) -> None:
    assert is_loosening_allowed(cmdline, started_by_stub=True) is allowed


def test_without_a_stub_nothing_is_measured() -> None:
    assert is_loosening_allowed("quiet", started_by_stub=False)
    assert not is_loosening_allowed("sysgraft.config=no", started_by_stub=False)


# --- The page ------------------------------------------------------------------------------------


def test_the_page_names_every_key_and_its_default() -> None:
    page = PAGE.read_text()
    for key in KEYS:
        assert f"### `{key}`" in page, key
    for word in ("sysgraft:", "sysext_cert", "extensions:", "ignore_signatures", "catalogs"):
        assert word in page


def test_the_examples_of_the_page_are_read() -> None:
    page = PAGE.read_text()
    languages = {"toml": parse_toml, "yaml": parse_kairos}
    found = 0
    for language, reader in languages.items():
        for block in page.split(f"```{language}\n")[1:]:
            reader(block.partition("```")[0].encode(), language)
            found += 1
    assert found >= len(set(KEYS.values()))


def test_nothing_raises_anything_else() -> None:
    for data in (WHOLE.encode(), (SEED + BY_ENTRY).encode()):
        for at in range(0, len(data), 3):
            for damaged in (data[:at], data[:at] + b"\0" + data[at:], data[at:]):
                with suppress(SysgraftError):
                    parse_toml(damaged, "f")
                with suppress(SysgraftError):
                    parse_kairos(damaged, "f")
