"""Reads an ELF file of 32 bits: the bytes of its sections, its functions, what is to be loaded.

Layout of the structures: Tool Interface Standard, Executable and Linking Format, version 1.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SEGMENT = struct.Struct("<8I")
_SYMBOL = struct.Struct("<IIIBBH")
_LOAD, _SYMBOLS, _ALLOCATED = 1, 2, 2


class Section(NamedTuple):
    """A section header: see the standard; ``name`` is its text."""

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Elf:
    """The content of an ELF file; raises ValueError where it is no ELF file of 32 bits."""

    content: bytes

    def __post_init__(self) -> None:
        """Refuse what is no ELF file of 32 bits; raises ValueError."""
        if self.content[:5] != b"\x7fELF\x01":
            raise ValueError("no ELF file of 32 bits")

    @cached_property
    def _header(self) -> tuple[int, ...]:
        return tuple(_HEADER.unpack_from(self.content)[1:])

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections in the order of the file."""
        offset, size, count, names = (self._header[i] for i in (5, 10, 11, 12))
        rows = [_SECTION.unpack_from(self.content, offset + i * size) for i in range(count)]
        texts = rows[names][4]
        return tuple(
            Section(self._text(texts + row[0]), row[1], row[2], row[3], row[4], row[5], row[6])
            for row in rows
        )

    def _text(self, offset: int) -> str:
        end = self.content.index(b"\0", offset)
        return self.content[offset:end].decode(errors="replace")

    def size(self, *names: str) -> int:
        """Return the bytes of the sections called ``names``, or that begin with one and a dot."""
        return sum(
            one.size
            for one in self.sections
            if one.flags & _ALLOCATED
            and any(one.name == name or one.name.startswith(f"{name}.") for name in names)
        )

    @cached_property
    def segments(self) -> tuple[tuple[int, int, bytes], ...]:
        """What is to be loaded: address in memory, address in flash, bytes."""
        offset, size, count = (self._header[i] for i in (4, 8, 9))
        rows = [_SEGMENT.unpack_from(self.content, offset + i * size) for i in range(count)]
        return tuple(
            (row[2], row[3], self.content[row[1] : row[1] + row[4]])
            for row in rows
            if row[0] == _LOAD and row[4]
        )

    @cached_property
    def symbols(self) -> dict[str, int]:
        """The address of each symbol that has a name; of a function without its lowest bit."""
        found: dict[str, int] = {}
        for section in self.sections:
            if section.kind != _SYMBOLS:
                continue
            texts = self.sections[section.link].offset
            for at in range(section.offset, section.offset + section.size, _SYMBOL.size):
                name, value, _, info, _, _ = _SYMBOL.unpack_from(self.content, at)
                text = self._text(texts + name)
                if text:
                    found[text] = value & ~1 if info & 15 == 2 else value
        return found
