"""List what is in an image, largest first: list_content.py FILE."""

from __future__ import annotations

import sys

from sysgraft import SysgraftError, inspect_image


def main(image: str) -> int:
    """Print size and path of every regular file."""
    info = inspect_image(image, files=True)
    for problem in info.problems:
        print(f"note: {problem}", file=sys.stderr)
    if info.tree is None:
        return 1
    sizes = {path: inode.content.size for path, inode in info.tree.items() if inode.content}
    for path, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        print(f"{size:>12}  /{path.decode('utf-8', 'backslashreplace')}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(main(sys.argv[1]))
    except SysgraftError as error:
        sys.exit(f"error: {error}")
