"""How the sizes of an initrd are told, to a person and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import counted, human_size

if TYPE_CHECKING:
    from sysgraft.cli.output import Output
    from sysgraft.image.initrd_sizes import InitrdSizes

_SHOWN = 5


def show_initrd(sizes: InitrdSizes, out: Output) -> None:
    """What takes the room, for a person."""
    kinds = ", ".join(dict.fromkeys(part.compression.value for part in sizes.parts))
    parts = counted(len(sizes.parts), "part")
    out.text(
        f"  initrd  {human_size(sizes.size)}, {human_size(sizes.unpacked)} unpacked"
        f"  ({parts}: {kinds})"
    )
    rows = [
        (
            share.kind,
            human_size(share.size),
            f"{share.size / max(1, sizes.unpacked):.1%}",
            counted(share.files, "file"),
        )
        for share in sorted(sizes.shares, key=lambda share: -share.size)
    ]
    if rows:
        out.table(rows, indent=4)
    if sizes.largest:
        out.text("    largest:")
        out.table(
            [(human_size(size), path) for path, size in sizes.largest[:_SHOWN]],
            indent=6,
        )


def initrd_as_json(sizes: InitrdSizes) -> dict[str, object]:
    """The sizes of one initrd."""
    return {
        "size": sizes.size,
        "unpacked": sizes.unpacked,
        "parts": [
            {
                "offset": part.offset,
                "size": part.size,
                "compression": part.compression.value,
                "plain": part.plain_size,
            }
            for part in sizes.parts
        ],
        "kinds": [
            {"kind": share.kind, "files": share.files, "size": share.size} for share in sizes.shares
        ],
        "largest": [{"path": path, "size": size} for path, size in sizes.largest],
    }
