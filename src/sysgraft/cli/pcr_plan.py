"""``sysgraft pcr plan``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from sysgraft.cli.pcr_arguments import boot_request, pcr_numbers
from sysgraft.cli.pcr_plan_report import Written, as_json, show
from sysgraft.cli.signing import ask_passphrase
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import pcrsig
from sysgraft.host.output import atomic_output
from sysgraft.measure import pcr11
from sysgraft.measure.pcr import check_bank
from sysgraft.seal import binding, check, policies
from sysgraft.seal.plan import make_plan
from sysgraft.seal.plan_values import PlanRequest, measure
from sysgraft.seal.prediction import DEFAULT_BANKS
from sysgraft.sign.pair import load_signer
from sysgraft.sign.pcr_public import from_der, read_public

if TYPE_CHECKING:
    from sysgraft.cli.output import Output
    from sysgraft.seal.assembly import Settings
    from sysgraft.seal.binding import Binding
    from sysgraft.seal.plan import Plan
    from sysgraft.sign.keys import Signer
    from sysgraft.sign.pcr_public import PublicKey

DEFAULT_PCRS: Final = ("11+13",)


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Plan an upgrade; 0 if the suggested order meets signed combinations only, 1 if not."""
    _check_usage(arguments)
    signer = _signer(arguments)
    bindings = _bindings(arguments, signer)
    planned = measure(
        PlanRequest(
            before=arguments.before,
            after=arguments.after,
            entries=tuple(arguments.entries),
            profile=arguments.profile,
            loaders=tuple(arguments.loader),
            pcrs=tuple(sorted({pcr for each in bindings for pcr in each.pcrs})),
            banks=tuple(dict.fromkeys(each.bank for each in bindings)),
            settings=_settings(arguments),
        ),
        out.progress,
    )
    given = {path: policies.read_document(path) for path in arguments.signatures}
    phases = tuple(map(pcr11.check_path, arguments.phases)) or check.DEFAULT_PHASES
    one_is_enough = bool(arguments.luks)
    plan = make_plan(planned, bindings, phases=phases, given=given, one_is_enough=one_is_enough)
    missing = plan.missing(only_order=arguments.only_order)
    if arguments.missing:
        name = _fingerprint(plan)
        _write(arguments.missing, policies.to_be_signed(missing, name), replace=arguments.force)
    if signer is not None:
        made = policies.signed(missing, signer, out.progress)
        _write(arguments.output, made, replace=arguments.force)
        given[arguments.output] = made
        plan = make_plan(planned, bindings, phases=phases, given=given, one_is_enough=one_is_enough)
    written = Written(
        missing=arguments.missing or "",
        output=arguments.output or "",
        policies=policies.count(missing),
        first=tuple(given),
    )
    if out.json_wanted:
        out.json("pcr.plan", 1, as_json(plan, written))
    else:
        show(plan, written, out)
    return 0 if plan.ok else 1


def _settings(arguments: argparse.Namespace) -> Settings:
    """What the other verbs' options of the same names say."""
    absent = dict.fromkeys(("uki", "global_folder", "entry", "cmdline", "efivars", "profile"))
    own = vars(arguments) | absent | {"esp": arguments.after, "extra": []}
    return boot_request(argparse.Namespace(**own)).settings


def _check_usage(arguments: argparse.Namespace) -> None:
    if arguments.luks and (arguments.pcrs or arguments.banks or arguments.policyref):
        raise UsageError("--luks says which PCRs, bank and policyref: leave --pcr and these out")
    if bool(arguments.private_key) != bool(arguments.output):
        raise UsageError("--private-key and --output go together: who signs, and where it goes")
    if arguments.private_key and arguments.missing:
        raise UsageError("--private-key signs what --missing leaves to be signed elsewhere")
    if arguments.output and arguments.output in arguments.signatures:
        raise UsageError("--output would replace a file of --signatures")


def _signer(arguments: argparse.Namespace) -> Signer | None:
    if not arguments.private_key:
        return None
    return load_signer(
        arguments.private_key,
        lambda: ask_passphrase(arguments.passphrase_file, arguments.private_key),
    )


def _bindings(arguments: argparse.Namespace, signer: Signer | None) -> tuple[Binding, ...]:
    key = read_public(arguments.public_key) if arguments.public_key else None
    own = from_der(signer.key_der) if signer else None
    if key and own:
        _check_same(key, own)
    if not arguments.luks:
        banks = tuple(dict.fromkeys(map(check_bank, arguments.banks or DEFAULT_BANKS)))
        pcrs = pcr_numbers(arguments.pcrs or DEFAULT_PCRS)
        return binding.bindings_for({}, banks, pcrs, key or own, arguments.policyref or "")
    found = binding.bindings_of(arguments.luks, key or own)
    if own and not any(each.key and _is_same(each.key, own) for each in found):
        raise UsageError("the private key is not the one that is enrolled")
    return found


def _check_same(expected: PublicKey, own: PublicKey) -> None:
    if not _is_same(expected, own):
        raise UsageError("the private key is not the one that is enrolled")


def _is_same(one: PublicKey, other: PublicKey) -> bool:
    return one.fingerprint == other.fingerprint


def _fingerprint(plan: Plan) -> bytes:
    """Whose policies these are."""
    usable = (each for each in plan.bindings if not each.problems)
    keys = {each.key.fingerprint for each in usable if each.key}
    if len(keys) != 1:
        raise UsageError(
            "whose policies are to be signed is not known", hint="give the key with --public-key"
        )
    return next(iter(keys))


def _write(path: str, document: pcrsig.Signatures, *, replace: bool) -> None:
    data = pcrsig.render(document).encode("ascii") + b"\n"
    if len(data) > pcrsig.MAX_SIZE:
        raise LimitError(
            f"{policies.count(document)} policies are {len(data)} bytes; systemd reads "
            f"{pcrsig.MAX_SIZE}",
            hint="--only-order leaves out those that the suggested order does not need",
        )
    with atomic_output(path, replace=replace) as file:
        file.write(data)
