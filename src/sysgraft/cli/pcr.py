"""``sysgraft pcr``: its verbs; the work is in the ``pcr_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import pcr_enroll_options as enrolling
from sysgraft.cli import pcr_log_options as logs
from sysgraft.cli import pcr_options as options
from sysgraft.cli import pcr_plan_options as planning
from sysgraft.cli import pcr_sign_options as signing
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

VERBS: Final = [
    Verb(
        "predict",
        "compute what a boot does to the TPM",
        options.PREDICT,
        options.PREDICT_EXAMPLE,
        "sysgraft.cli.pcr_predict",
    ),
    Verb(
        "sign",
        "sign policies for what a boot will do to the TPM",
        signing.SIGN,
        signing.SIGN_EXAMPLE,
        "sysgraft.cli.pcr_sign",
    ),
    Verb(
        "check",
        "tell whether a signature file will unlock a volume",
        signing.CHECK,
        signing.CHECK_EXAMPLE,
        "sysgraft.cli.pcr_check",
    ),
    Verb(
        "plan",
        "tell whether an upgrade keeps a volume unlockable at every step",
        planning.PLAN,
        planning.PLAN_EXAMPLE,
        "sysgraft.cli.pcr_plan",
    ),
    Verb(
        "replay",
        "work out what event logs lead to",
        logs.REPLAY,
        logs.REPLAY_EXAMPLE,
        "sysgraft.cli.pcr_replay",
    ),
    Verb(
        "explain",
        "tell which file made a PCR what it is",
        logs.EXPLAIN,
        logs.EXPLAIN_EXAMPLE,
        "sysgraft.cli.pcr_explain",
    ),
    Verb(
        "enroll",
        "bind a volume to signed policies",
        enrolling.ENROLL,
        enrolling.ENROLL_EXAMPLE,
        "sysgraft.cli.pcr_enroll",
    ),
    Verb(
        "units",
        "write the unit that finds signatures beside the image",
        enrolling.UNITS,
        enrolling.UNITS_EXAMPLE,
        "sysgraft.cli.pcr_units",
    ),
]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
