"""Gate a release on its images: verify_in_ci.py CERTIFICATE FILE… prints what fails, exits 1."""

from __future__ import annotations

import sys

from sysgraft import (
    SysgraftError,
    Verification,
    VerifyOptions,
    trust_certificate,
    verify_image,
)


def main(certificate: str, images: list[str]) -> int:
    """Verify every image for an x86-64 host with systemd 255, and report all that is wrong."""
    options = VerifyOptions(
        trust=trust_certificate(certificate), architecture="x86-64", systemd_version=255
    )
    results = [verify_image(image, options) for image in images]
    for result in results:
        print(f"{'good' if result.ok else 'BAD '}  {result.file}")
        for problem in problems(result):
            print(f"      {problem}")
    return 0 if all(result.ok for result in results) else 1


def problems(result: Verification) -> list[str]:
    """What fails, and what could not be checked but should have been."""
    return [f"{check.name}: {check.reason}" for check in result.checks if not check.passes]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except SysgraftError as error:
        sys.exit(f"error: {error}")
