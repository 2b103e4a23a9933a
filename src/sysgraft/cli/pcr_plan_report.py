"""What ``sysgraft pcr plan`` found, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.cli.output import counted
from sysgraft.cli.pcr_check import bindings_json

if TYPE_CHECKING:
    from sysgraft.cli.output import Output
    from sysgraft.seal.plan import EntryPlan, Plan, State
    from sysgraft.seal.plan_entries import PlanEntry
    from sysgraft.seal.plan_status import Combination, Question

_SHOWN_MISSING = 32
_ELSEWHERE = "only in another order"
_STATUS = {
    "signed": ("ok", "signed"),
    "unknown": ("skipped", "not known"),
    "unsigned": ("fail", "NOT signed"),
}
_TEXT = {
    "add": ("not there yet", "new"),
    "replace": ("old", "new"),
    "remove": ("old", "removed"),
}


class Written(NamedTuple):
    """What was written beside the report.

    Attributes:
        missing: the file with policies to be signed.
        output: the file with new signatures.
        policies: how many they are.
        first: files that have to be there before the first step.
    """

    missing: str
    output: str
    policies: int
    first: tuple[str, ...]


# --- For people ----------------------------------------------------------------------------------


def show(plan: Plan, written: Written, out: Output) -> None:
    """All of it as text."""
    for entry in plan.entries:
        _show_entry(entry, plan, out)
    _show_order(plan, written, out)
    _show_missing(plan, out)
    if written.output:
        out.text(f"{written.output}: {counted(written.policies, 'signature')}")
    if written.missing:
        out.text(f"{written.missing}: {_policies(written.policies)} to be signed")
    for note in plan.notes:
        out.note(f"note: {note}")


def _policies(number: int) -> str:
    return "1 policy" if number == 1 else f"{number} policies"


def _show_entry(entry: EntryPlan, plan: Plan, out: Output) -> None:
    starting = [each for each in entry.combinations if each.start.image]
    idle = len(entry.combinations) - len(starting)
    more = f", and {idle} that cannot start" if idle else ""
    out.text(f"{_name(entry.entry)}: {counted(len(starting), 'combination')}{more}")
    out.table([_row(each, entry, plan, out) for each in starting], indent=2)
    out.text()


def _name(entry: PlanEntry) -> str:
    profile = f", profile {entry.profile}" if entry.profile else ""
    return f"{entry.name} ({entry.path}{profile})"


def _row(each: Combination, entry: EntryPlan, plan: Plan, out: Output) -> tuple[str, ...]:
    kind, text = _STATUS[each.status]
    return (
        out.symbol(kind),
        text,
        "" if each.in_order else _ELSEWHERE,
        _files(each, entry, plan),
    )


def _files(each: Combination, entry: EntryPlan, plan: Plan) -> str:
    texts = []
    for number in entry.changes:
        change = plan.changes[number]
        name = change.path.rpartition("/")[2]
        texts.append(f"{name} {_TEXT[change.action][number in each.done]}")
    return ", ".join(texts) or "nothing of it changes"


def _show_order(plan: Plan, written: Written, out: Output) -> None:
    if len(plan.states) == 1:
        out.text("order: there is nothing to do in an order")
    else:
        out.text(f"order: {_judgement(plan)}")
    rows = [("", "first", path) for path in written.first]
    rows += [_step(place, state, plan) for place, state in enumerate(plan.states)]
    changes = (plan.changes[number] for number in plan.any_time)
    rows += [("", "any time", f"{each.action} {each.path}") for each in changes]
    out.table(rows, indent=2)
    if len(plan.states) > 1:
        out.text("  each step is on the disk (fsync, or sync -f) before the next one begins")


def _judgement(plan: Plan) -> str:
    if plan.ok:
        return "it passes through signed combinations only"
    if plan.states[0].unsigned:
        return "what is there now is not signed already"
    if plan.states[-1].unsigned:
        return "what is there in the end is not signed"
    if not any(each.unsigned for each in plan.states):
        return f"it passes through signed combinations, but {_doubt(plan)}"
    if plan.is_best:
        return "none passes through signed combinations only; this one meets the fewest others"
    return "too many states to find the best one; this one meets unsigned combinations"


def _doubt(plan: Plan) -> str:
    questions = (q for e in plan.entries for each in e.combinations for q in each.questions)
    reasons = (q.answer.problem for q in questions if q.answer.is_unknown)
    return f"it is not known whether they open: {next(reasons, '')}"


def _step(place: int, state: State, plan: Plan) -> tuple[str, str, str]:
    names = ", ".join(dict.fromkeys(_name(each) for each in state.unsigned))
    bad = f"then NOT signed: {names}" if names else ""
    if not bad and state.unknown:
        bad = "then not known"
    if state.number is None:
        return "0.", "as it is", bad
    change = plan.changes[state.number]
    return f"{place}.", change.action, f"{change.path}   {bad}"


def _show_missing(plan: Plan, out: Output) -> None:
    rows: dict[tuple[str, ...], list[str]] = {}
    for entry in plan.entries:
        for each in entry.combinations:
            for question in each.missing:
                row = rows.setdefault(_missing_row(question), [_ELSEWHERE, question.answer.problem])
                if each.in_order:
                    row[0] = ""
    if not rows:
        return
    out.text(f"missing signatures: {len(rows)}")
    shown = [(*row, *more) for row, more in rows.items()]
    out.table(shown[:_SHOWN_MISSING], indent=2)
    if len(rows) > _SHOWN_MISSING:
        out.text(f"  and {len(rows) - _SHOWN_MISSING} more (--missing FILE writes them all)")


def _missing_row(each: Question) -> tuple[str, str, str, str]:
    wanted = each.binding
    pcrs = "+".join(map(str, wanted.pcrs))
    return wanted.bank, f"PCR {pcrs}", each.phase or "(kernel)", each.policy.hex()


# --- For machines --------------------------------------------------------------------------------


def as_json(plan: Plan, written: Written) -> dict[str, object]:
    """The plan as ``sysgraft.pcr.plan/1``."""
    return {
        "ok": plan.ok,
        "best": plan.is_best,
        "bindings": bindings_json(plan.bindings),
        "changes": [{"action": each.action, "path": each.path} for each in plan.changes],
        "entries": [_entry_json(each) for each in plan.entries],
        "first": list(written.first),
        "order": [_state_json(each) for each in plan.states],
        "anyTime": list(plan.any_time),
        "policies": written.policies,
        "missing": written.missing or None,
        "output": written.output or None,
        "notes": list(plan.notes),
    }


def _id(entry: PlanEntry) -> dict[str, object]:
    return {"name": entry.name, "path": entry.path, "profile": entry.profile}


def _entry_json(plan: EntryPlan) -> dict[str, object]:
    return {
        **_id(plan.entry),
        "changes": list(plan.changes),
        "combinations": [_combination_json(each) for each in plan.combinations],
    }


def _combination_json(each: Combination) -> dict[str, object]:
    return {
        "done": sorted(each.done),
        "starts": bool(each.start.image),
        "problem": each.start.problem,
        "image": each.start.image,
        "signed": bool(each.questions) and each.status == "signed",
        "inOrder": each.in_order,
        "policies": [_question_json(question) for question in each.questions],
    }


def _question_json(each: Question) -> dict[str, object]:
    return {
        "binding": each.binding.name,
        "phase": each.phase,
        "policy": each.policy.hex(),
        "signed": not each.answer.problem,
        "problem": each.answer.problem,
        "source": each.answer.source,
    }


def _state_json(state: State) -> dict[str, object]:
    unsigned = (*state.unsigned, *state.unknown)
    return {"change": state.number, "unsigned": [_id(each) for each in unsigned]}
