"""``sysgraft pcr enroll``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from sysgraft.cli.pcr_arguments import pcr_numbers
from sysgraft.cli.signing import ask_passphrase
from sysgraft.cli.verdict import checks_json, show
from sysgraft.errors import KeyMaterialError, ToolError, in_file
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.run import run as run_program
from sysgraft.host.small import read_small
from sysgraft.measure import pcr11
from sysgraft.measure.pcr import check_bank
from sysgraft.seal import enrolment, machine, policies
from sysgraft.seal.enrolment_checks import DEFAULT_PCRS, Enrolment
from sysgraft.seal.machine import read_machine
from sysgraft.sign.pcr_public import from_pem

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.seal.enrolment import Plan
    from sysgraft.seal.machine import Machine
    from sysgraft.sign.pcr_public import PublicKey

_SECONDS: Final = 600.0


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Check, and enrol if nothing speaks against it."""
    state = read_machine(
        arguments.root or "/",
        log=arguments.event_log or "",
        userspace_log=arguments.userspace_log or "",
        values=arguments.values or "",
    )
    wanted = _wanted(arguments, state)
    signatures = wanted.signatures or (state.path(machine.SIGNATURES),)
    plan = enrolment.plan(wanted, state, policies.read_all(signatures))
    recovery = ""
    done = plan.ok and not arguments.dry_run
    if not out.json_wanted:
        _show(wanted, plan, out)
    if done:
        recovery = _enrol(wanted, plan, out)
    if out.json_wanted:
        out.json("pcr.enroll", 1, as_json(wanted, plan, done=done, recovery=recovery))
    return 0 if plan.ok else 1


def _wanted(arguments: argparse.Namespace, state: Machine) -> Enrolment:
    policies.check_reference(arguments.policyref or "")
    public_key = arguments.public_key or state.path(machine.PUBLIC_KEY)
    return Enrolment(
        device=arguments.device,
        public_key=public_key,
        key=_read_key(public_key),
        pcrs=tuple(sorted(pcr_numbers(arguments.pcrs))) or DEFAULT_PCRS,
        bank=check_bank(arguments.bank or "sha256"),
        phase=pcr11.check_path(arguments.phase or "enter-initrd"),
        signatures=tuple(arguments.signatures),
        recovery=arguments.recovery_key,
        reference=arguments.policyref or "",
        unlock_key_file=arguments.unlock_key_file or "",
        tpm_device=arguments.tpm2_device or "auto",
        with_pin=arguments.tpm2_with_pin,
        wipe=arguments.wipe,
        allow_unmeasured=arguments.allow_unmeasured,
    )


def _read_key(path: str) -> PublicKey:
    """The key in a PEM file: systemd-cryptenroll takes neither certificates nor tokens.

    Raises:
        InputError: it cannot be read, or is none.
        KeyMaterialError: it is no RSA key.
    """
    with in_file(path):
        return from_pem(read_small(path, MAX_BUNDLE, "public key"))


def _show(wanted: Enrolment, plan: Plan, out: Output) -> None:
    show(
        wanted.device, plan.checks, plan.notes, out, on_request=(), words=("ready", "NOT ENROLLED")
    )
    for command in plan.commands:
        out.text(f"  {shlex.join(command)}")


def _enrol(wanted: Enrolment, plan: Plan, out: Output) -> str:
    """Run the commands; the recovery key, if one was made.

    Raises:
        ToolError: one failed, or the header is not what it should be.
    """
    before = enrolment.tokens(wanted.device)
    secrets = _secrets(wanted)
    recovery = ""
    run_program(plan.commands[0], env=secrets, timeout=_SECONDS)
    problem = enrolment.check_result(wanted, before)
    if problem:
        raise ToolError(problem, file=wanted.device)
    if not out.json_wanted:
        out.text(f"enrolled: PCR {'+'.join(map(str, wanted.pcrs))}, bank {wanted.bank}")
    # The last step, so that no failure behind it can swallow the key.
    for command in plan.commands[1:]:
        done = run_program(command, env=secrets, timeout=_SECONDS)
        recovery = done.stdout.decode("ascii", errors="replace").strip()
        if not out.json_wanted:
            out.text(f"recovery key, shown once: {recovery}")
    return recovery


def _secrets(wanted: Enrolment) -> dict[str, str]:
    """What systemd-cryptenroll reads from its environment instead of asking."""
    found = {}
    if not wanted.unlock_key_file:
        found["PASSWORD"] = _text(ask_passphrase(None, wanted.device))
    if wanted.with_pin:
        found["NEWPIN"] = _text(_ask_pin())
    return found


def _ask_pin() -> bytes:
    import getpass  # noqa: PLC0415  only for a person at a terminal
    import sys  # noqa: PLC0415

    if sys.stdin is None or not sys.stdin.isatty():
        raise KeyMaterialError("a PIN is set at a terminal only")
    return getpass.getpass("new PIN: ").encode()


def _text(secret: bytes) -> str:
    try:
        return secret.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KeyMaterialError(
            "the passphrase is not text in UTF-8", hint="give it with --unlock-key-file"
        ) from error


def as_json(wanted: Enrolment, plan: Plan, *, done: bool, recovery: str) -> dict[str, object]:
    """The outcome as ``sysgraft.pcr.enroll/1``."""
    return {
        "device": wanted.device,
        "ok": plan.ok,
        "enrolled": done,
        "pcrs": list(wanted.pcrs),
        "bank": wanted.bank,
        "phase": wanted.phase,
        "key": wanted.key.fingerprint.hex(),
        "checks": checks_json(plan.checks),
        "commands": [list(command) for command in plan.commands],
        "recoveryKey": recovery or None,
        "notes": list(plan.notes),
    }
