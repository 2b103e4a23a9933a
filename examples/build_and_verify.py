"""Build a signed extension and prove it: build_and_verify.py NAME SOURCE KEY CERTIFICATE FOLDER."""

from __future__ import annotations

import sys

from sysgraft import (
    SysgraftError,
    VerifyOptions,
    build_extension,
    load_pair,
    trust_certificate,
    verify_image,
)


def main(name: str, source: str, key: str, certificate: str, folder: str) -> int:
    """Build, then look at the result as a stranger would."""
    pair = load_pair(key, certificate)
    report = build_extension(name, [source], output=folder, signing=pair)
    print(f"built {report.path}, root hash {report.root_hash.hex()}")
    for item in report.left_out:
        print(f"left out ({item.reason}): {item.files} files, such as {', '.join(item.examples)}")

    result = verify_image(report.path, VerifyOptions(trust=trust_certificate(certificate)))
    for check in result.checks:
        print(f"{check.status:8}{check.name}: {check.reason}")
    return 0 if result.ok else 1


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except SysgraftError as error:
        sys.exit(f"error: {error}")
