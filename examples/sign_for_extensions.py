"""Sign what a boot measures: sign_for_extensions.py UKI KEY OUTPUT EXTENSION… says what opens."""

from __future__ import annotations

import sys

from sysgraft import (
    BootRequest,
    PcrBinding,
    SysgraftError,
    check_pcr_signatures,
    load_signer,
    pcr_policies,
    predict_pcrs,
    sign_pcr_policies,
)
from sysgraft.formats import pcrsig
from sysgraft.sign.pcr_public import from_der

PCRS = (11, 13)
PHASES = ("enter-initrd",)


def main(uki: str, key: str, output: str, *extensions: str) -> int:
    """Predict, sign, and ask about two boots: with the extensions, and without them."""
    boot = predict_pcrs(BootRequest(uki=uki, extras=extensions), pcrs=PCRS, phases=PHASES)
    for pcr, value in boot.sets[0].values(PHASES[0], "sha256").items():
        print(f"PCR {pcr} {value.hex()}")

    signer = load_signer(key)
    signatures = sign_pcr_policies(pcr_policies(boot), signer)
    with open(output, "x", encoding="ascii") as file:
        file.write(pcrsig.render(signatures) + "\n")

    volume = PcrBinding("a volume", "sha256", PCRS, from_der(signer.key_der))
    bare = predict_pcrs(BootRequest(uki=uki), pcrs=PCRS, phases=PHASES)
    good = check_pcr_signatures(signatures, boot, [volume])
    bad = check_pcr_signatures(signatures, bare, [volume])
    print(f"with the extensions: {good.answers[0].reason}")
    print(f"without them: {bad.answers[0].reason}")
    return 0 if good.ok and not bad.ok else 1


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except (SysgraftError, OSError) as error:
        sys.exit(f"error: {error}")
