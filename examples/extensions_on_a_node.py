"""Two versions on a node that is not running: extensions_on_a_node.py ROOT KEY CERT FOLDER.

ROOT is the root of a system, such as an installer has it before its first boot, and has CERT among
its certificates in /usr/lib/verity.d. FOLDER gets two versions of one extension; the first is
enabled, then the second takes its place, and the first is kept to fall back to.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sysgraft import (
    Node,
    NodeOptions,
    SigningPair,
    SysgraftError,
    build_extension,
    collect_extensions,
    enable_extension,
    install_extension,
    load_pair,
    roll_back_extension,
    take_inventory,
    upgrade_extension,
)


def main(root: str, key: str, certificate: str, folder: str) -> int:
    """Build, install, enable, upgrade, and back."""
    pair = load_pair(key, certificate)
    images = [build(version, folder, pair) for version in ("1", "2")]

    node = Node(NodeOptions(root=root))
    first = install_extension(node, images[0])
    print(f"installed {first.name}, {first.digest}")
    enable_extension(node, first.name, ["active", "passive"])
    for change in upgrade_extension(node, images[1]).changes:
        print(f"{change.name}: {change.what} {change.where}".rstrip())
    show(node)

    roll_back_extension(node, "hello")
    for change in collect_extensions(node, dry_run=True).changes:
        print(f"after the rollback {change.name} {change.what}")
    return 0


def build(version: str, folder: str, pair: SigningPair) -> str:
    """A version of an extension; the name has it, behind the mark that systemd knows."""
    tree = Path(folder, f"tree-{version}")
    (tree / "usr/share/hello").mkdir(parents=True)
    (tree / "usr/share/hello/version").write_text(f"{version}\n", encoding="utf-8")
    name = f"hello_{version}"
    return build_extension(name, [str(tree)], output=folder, signing=pair).path


def show(node: Node) -> None:
    """What there is, and for which boot entries."""
    for item in take_inventory(node).items:
        print(f"{item.stored.name}: enabled for {', '.join(item.profiles) or 'nothing'}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except SysgraftError as error:
        sys.exit(f"error: {error}")
