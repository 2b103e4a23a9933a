"""A squashfs image as PySquashfsImage reads it, for the child process alone.

Format: squashfs 4.0 (Linux Documentation/filesystems/squashfs.rst; ``squashfs_fs.h``). The library
finds inodes, directories and blocks. Done here is what it leaves out or does without limits:
parts of files, decompression, extended attributes. Nothing else imports the library, which is
LGPL and loaded as it is installed.
"""

from __future__ import annotations

import functools
import importlib
import lzma
import struct
import sys
import zlib
from typing import Any, Final, Protocol

_METADATA: Final = 8192
_NOTHING: Final = 0xFFFFFFFF
_NO_TABLE: Final = 0xFFFFFFFFFFFFFFFF
_XATTR_PREFIXES: Final = {0: b"user.", 1: b"trusted.", 2: b"security."}
_ELSEWHERE: Final = 0x100  # the value is stored once for several inodes
_MAX_XATTR: Final = 1 << 16  # XATTR_SIZE_MAX of Linux


class Damaged(Exception):  # noqa: N818  never leaves the child
    """The image makes no sense."""


class NotHandled(Exception):  # noqa: N818
    """The image is of a kind that is not read here."""


class ImageFile(Protocol):
    """What the library takes for the image's file."""

    def seek(self, position: int) -> int:
        """Go to a byte."""

    def read(self, length: int) -> bytes:
        """Bytes from there; fewer only at the end."""


# Decompressors that make no more than a block may hold. The library's own make whatever the
# image says; its lz4 is another format than squashfs', its zstd takes a module we do not need.


class _Bounded:
    """The library's interface of a decompressor; `uncompress` is called with the block's size."""

    def uncompress(self, source: bytes, _: int, size: int) -> bytes:
        # Of tables the library states 0 where it means a whole block of metadata.
        limit = max(size, _METADATA)
        data = self.decompress(source, limit)
        if len(data) > limit:
            raise Damaged("a block that is larger than blocks are")
        return data

    def decompress(self, source: bytes, limit: int) -> bytes:
        """At most a byte more than `limit`."""
        raise NotImplementedError


class _Gzip(_Bounded):
    def decompress(self, source: bytes, limit: int) -> bytes:
        return _whole(zlib.decompressobj(), source, limit)


class _Xz(_Bounded):
    def decompress(self, source: bytes, limit: int) -> bytes:
        return _whole(lzma.LZMADecompressor(lzma.FORMAT_XZ), source, limit)


class _Zstd(_Bounded):
    def __init__(self) -> None:
        new = sys.version_info >= (3, 14)
        self._module = importlib.import_module("compression.zstd" if new else "backports.zstd")

    def decompress(self, source: bytes, limit: int) -> bytes:
        return _whole(self._module.ZstdDecompressor(), source, limit)


class _Lz4(_Bounded):
    def __init__(self) -> None:
        self._module = importlib.import_module("lz4.block")

    def decompress(self, source: bytes, limit: int) -> bytes:
        data: bytes = self._module.decompress(source, uncompressed_size=limit)
        return data


class _Lzo(_Bounded):
    def __init__(self) -> None:
        try:
            self._module = importlib.import_module("lzo")
        except ImportError:
            raise NotHandled("squashfs with lzo takes the Python module python-lzo") from None

    def decompress(self, source: bytes, limit: int) -> bytes:
        data: bytes = self._module.decompress(source, False, limit)
        return data


def _whole(codec: Any, source: bytes, limit: int) -> bytes:  # noqa: ANN401
    data: bytes = codec.decompress(source, limit + 1)
    if len(data) <= limit and not codec.eof:
        raise Damaged("a block that ends too early")
    return data


_CODECS: Final = {1: _Gzip, 3: _Lzo, 4: _Xz, 5: _Lz4, 6: _Zstd}


def _image_class(library: Any) -> Any:  # noqa: ANN401
    """The library's image without its eager scan of all directories and its own attributes."""

    class Image(library.SquashFsImage):  # type: ignore[misc]
        def _get_compressor(self, number: int) -> _Bounded:
            if number not in _CODECS:
                raise NotHandled(f"squashfs with the compression {number}")
            return _CODECS[number]()

        def _read_xattrs_from_disk(self) -> None: ...

        def _dir_scan(self, *_: object) -> None: ...

    return Image


class SquashfsImage:
    """An open image, and the two things that can be asked of it."""

    def __init__(self, file: ImageFile) -> None:
        library = importlib.import_module("PySquashfsImage")
        self._file = file
        self._image = _image_class(library)(self._file)
        self._superblock = self._image.sblk
        size = self._superblock.block_size
        if size != 1 << self._superblock.block_log or not 4096 <= size <= 1 << 20:
            raise Damaged(f"blocks of {size} bytes")
        self._attributes: dict[int, Any] = {}
        self._open: tuple[int, Any, list[tuple[int, int]]] = (-1, None, [])

    def listing(self, ref: int) -> dict[str, Any]:
        """An inode, and what is in it if it is a directory; a negative `ref` is the root."""
        ref = self._superblock.root_inode if ref < 0 else ref
        inode = self._image._read_inode(ref >> 16, ref & 0xFFFF)  # noqa: SLF001
        entries = []
        if inode.is_dir:
            directory = self._image._opendir(ref >> 16, ref & 0xFFFF)  # noqa: SLF001
            entries = [self._entry(entry) for entry in directory.entries]
        return {"inode": self._described(ref, inode), "entries": entries}

    def _entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        ref = entry["start_block"] << 16 | entry["offset"]
        inode = self._image._read_inode(ref >> 16, ref & 0xFFFF)  # noqa: SLF001
        return {"name": _text(entry["name"]), **self._described(ref, inode)}

    def _described(self, ref: int, inode: Any) -> dict[str, Any]:  # noqa: ANN401
        is_device = inode.is_block_device or inode.is_char_device
        return {
            "ref": ref,
            "mode": inode.mode,
            "uid": inode.uid,
            "gid": inode.gid,
            "mtime": inode.time,
            "size": inode.data if inode.is_file else 0,
            "target": _text(inode._symlink) if inode.is_symlink else "",  # noqa: SLF001
            "device": inode.data if is_device else 0,
            "xattrs": [[_text(name), _text(value)] for name, value in self._xattrs(inode.xattr)],
        }

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """A part of a file's content."""
        inode, blocks = self._file_at(ref)
        step = self._superblock.block_size
        out = bytearray()
        while length > 0:
            index, within = divmod(offset, step)
            piece = self._block(inode, blocks, index)[within : within + length]
            if not piece:
                raise Damaged("a file that ends before its size says")
            out += piece
            offset += len(piece)
            length -= len(piece)
        return bytes(out)

    def _file_at(self, ref: int) -> tuple[Any, list[tuple[int, int]]]:
        """A file's inode, and where each of its blocks begins with its size as stored."""
        if self._open[0] != ref:
            inode = self._image._read_inode(ref >> 16, ref & 0xFFFF)  # noqa: SLF001
            if not inode.is_file:
                raise Damaged("no file")
            words = self._image._read_block_list(  # noqa: SLF001
                inode.block_start, inode.block_offset, inode.blocks
            )
            start, blocks = inode.start, []
            for word in words:
                blocks.append((start, word))
                start += word & 0xFFFFFF
            self._open = (ref, inode, blocks)
        return self._open[1], self._open[2]

    def _block(self, inode: Any, blocks: list[tuple[int, int]], index: int) -> bytes:  # noqa: ANN401
        step = self._superblock.block_size
        expected = min(step, inode.data - index * step)
        if index < len(blocks):
            start, word = blocks[index]
            data = self._stored(start, word) if word else bytes(expected)
        elif inode.frag_bytes:
            start, word = self._image._read_fragment(inode.fragment)  # noqa: SLF001
            data = self._stored(start, word)[inode.offset : inode.offset + inode.frag_bytes]
        else:
            data = b""
        if len(data) != expected:
            raise Damaged("a block of another size than its file has room for")
        return data

    @functools.lru_cache(maxsize=16)  # noqa: B019  one image for the life of the process
    def _stored(self, start: int, word: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(word & 0xFFFFFF)
        if word >> 24:
            return data
        return self._image._comp.uncompress(data, len(data), self._superblock.block_size)  # type: ignore[no-any-return]  # noqa: SLF001

    # Extended attributes, which the library leaves alone: a table of identifiers says where in
    # a second one the names and values of an inode begin.

    def _xattrs(self, number: int) -> list[tuple[bytes, bytes]]:
        table = self._superblock.xattr_id_table_start
        if number == _NOTHING or table == _NO_TABLE:
            return []
        self._file.seek(table)
        base, count = struct.unpack("<QI4x", self._file.read(16))
        if number >= count:
            raise Damaged(f"attributes {number} of {count}")
        self._file.seek(table + 16 + number // 512 * 8)
        (block,) = struct.unpack("<Q", self._file.read(8))
        row, _, _ = self._metadata(block, number % 512 * 16, 16)
        place, pairs, _ = struct.unpack("<QII", row)
        return self._pairs(base, place, pairs)

    def _pairs(self, base: int, place: int, count: int) -> list[tuple[bytes, bytes]]:
        block, offset = base + (place >> 16), place & 0xFFFF
        found = []
        for _ in range(count):
            head, block, offset = self._metadata(block, offset, 4)
            kind, length = struct.unpack("<HH", head)
            name, block, offset = self._metadata(block, offset, length)
            value, block, offset = self._value(block, offset)
            if kind & _ELSEWHERE:
                (other,) = struct.unpack("<Q", value)
                value, _, _ = self._value(base + (other >> 16), other & 0xFFFF)
            found.append((_XATTR_PREFIXES[kind & 0xFF] + name, value))
        return found

    def _value(self, block: int, offset: int) -> tuple[bytes, int, int]:
        head, block, offset = self._metadata(block, offset, 4)
        (length,) = struct.unpack("<I", head)
        if length > _MAX_XATTR:
            raise Damaged(f"an attribute of {length} bytes")
        return self._metadata(block, offset, length)

    def _metadata(self, block: int, offset: int, length: int) -> tuple[bytes, int, int]:
        return self._image._read_metadata(self._attributes, block, offset, length)  # type: ignore[no-any-return]  # noqa: SLF001


def _text(value: bytes) -> str:
    return value.decode("latin-1")
