"""Firmware for one machine, out of a root: firmware_by_hardware.py ROOT MACHINE KEY CERT FOLDER.

ROOT has a kernel's modules and firmware, MACHINE is what ``sysgraft firmware scan`` wrote. Left in
FOLDER are a signed extension with what the machine loads, what it needs earlier, the root without
firmware, and an upgrade of the extension beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sysgraft import (
    FirmwareOptions,
    FirmwarePlanner,
    FirmwarePlanOptions,
    StripKeeping,
    SysgraftError,
    VerifyOptions,
    build_firmware,
    compare_images,
    diagnose_firmware,
    firmware_of_image,
    index_firmware,
    lint_images,
    load_pair,
    merge_orders,
    parse_machine,
    render_firmware_plan,
    strip_root,
    trust_certificate,
    verify_image,
)
from sysgraft import FirmwareShelf as Shelf


def main(root: str, inventory: str, key: str, certificate: str, folder: str) -> int:
    """From the inventory to files that can be delivered, and what a stranger would check."""
    machine = parse_machine(Path(inventory).read_bytes())
    pair = load_pair(key, certificate)
    out = Path(folder)

    planner = FirmwarePlanner(index_firmware([root], [root]))
    plan = planner.plan([machine], FirmwarePlanOptions(level="device"))
    (out / "plan.json").write_bytes(render_firmware_plan(plan))
    for file in plan.files:
        reason = file.reasons[0]
        print(f"{file.when:6}{file.path}: {reason.evidence} ({reason.confidence}), {reason.module}")

    images = []
    for release in ("1", "2"):
        options = FirmwareOptions(
            packing="zstd",
            early_initrd=str(out / f"early-{release}.cpio"),
            early_microcode=str(out / f"microcode-{release}.cpio"),
        )
        name = f"firmware_{release}"
        report = build_firmware(name, plan, [root], output=folder, signing=pair, options=options)
        if report.extension is None:
            print("nothing is needed but microcode")
            return 0
        images.append(report.extension.path)
        print(f"built {report.extension.path}: {report.files} files, {report.size} bytes")
    slim = strip_root(root, str(out / "slim.tar"), StripKeeping(plan=plan))
    print(f"slim: {slim.removed_size} bytes of firmware gone, {slim.kept_size} stay")

    trust = trust_certificate(certificate)
    verified = all(verify_image(image, VerifyOptions(trust=trust)).ok for image in images)
    print("verified" if verified else "not verified")
    for finding in lint_images(images[:1]).findings:
        print(f"{finding.level}: {finding.code}")
    shelf = Shelf.of_tree(images[0], firmware_of_image(images[0]))
    for missing in diagnose_firmware(machine, [shelf]).findings:
        print(f"{missing.need.owner}: {', '.join(missing.need.names)}: {missing.action}")
    on_top = merge_orders([Path(image).name for image in images])[0].merged[-1].name
    changes = len(compare_images(*images).files)
    print(f"upgrade: {on_top} lies on top, {changes} files changed")
    return 0 if verified else 1


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except SysgraftError as error:
        sys.exit(f"error: {error}")
