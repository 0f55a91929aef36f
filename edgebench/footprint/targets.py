"""Boards that a model must fit: flash, RAM, what is reserved, and where the figures come from.

The RAM of a board is its largest contiguous block, not the sum of its blocks: an arena is one
piece of memory, and a linker places it in one. The total is kept beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError, unknown
from edgebench.footprint.fit import Fit
from edgebench.footprint.measure import Footprint
from edgebench.limits import Use, Verdict, against, memory_limits, uses
from edgebench.metrics import Dtype, Metric
from edgebench.registry import Registry

RESERVE_FLASH_BYTES = 16_384  # vector table, start-up, drivers and a small main program
RESERVE_RAM_BYTES = 8_192  # stack, heap and the application's own variables


@dataclass(frozen=True)
class Target:
    """A board: its flash and RAM in bytes, and what of them the application keeps for itself.

    Power and battery are the user's own: no listed board states them, since supply and settings
    change them by a factor of two.

    Attributes:
        name: As tables show it; without one, the file's own name.
        flash_bytes: All flash, in bytes.
        ram_bytes: The largest contiguous block of RAM, in bytes.
        reserve_flash_bytes: Flash that the application keeps for itself.
        reserve_ram_bytes: RAM that the application keeps for itself.
        board: The board's full name.
        mcu: The microcontroller.
        core: The processor core, which the latency estimate goes by, as in Cortex-M7.
        clock_mhz: The clock, which the latency estimate goes by.
        ram_total_bytes: All RAM, in every block.
        note: Anything worth knowing.
        source: Where the figures come from, a text or a list.
        power_mw: Power while it computes, for the energy of an inference.
        sleep_mw: Power while it sleeps, for the battery's life.
        battery_mwh: The battery's energy.
    """

    name: str
    flash_bytes: int
    ram_bytes: int
    reserve_flash_bytes: int = RESERVE_FLASH_BYTES
    reserve_ram_bytes: int = RESERVE_RAM_BYTES
    board: str = ""
    mcu: str = ""
    core: str = ""
    clock_mhz: float = 0
    ram_total_bytes: int = 0
    note: str = ""
    source: tuple[str, ...] = ()
    power_mw: float = 0.0
    sleep_mw: float = 0.0
    battery_mwh: float = 0.0

    @property
    def free_flash_bytes(self) -> int:
        """Return the flash that a model may take."""
        return max(self.flash_bytes - self.reserve_flash_bytes, 0)

    @property
    def free_ram_bytes(self) -> int:
        """Return the RAM that a model may take."""
        return max(self.ram_bytes - self.reserve_ram_bytes, 0)

    def check(self, footprint: Footprint) -> Fit:
        """Compare ``footprint`` with what the board leaves free; flash is checked first."""
        flash = (self.free_flash_bytes, footprint.rom_bytes, footprint.rom_upper_bytes)
        ram = (self.free_ram_bytes, footprint.ram_bytes, footprint.ram_upper_bytes)
        figures = {"rom_bytes": flash[1], "ram_bytes": ram[1]}
        uppers = {"rom_upper_bytes": flash[2], "ram_upper_bytes": ram[2]}
        known = figures | {key: value for key, value in uppers.items() if value is not None}
        worst = against(uses(self.limits("float32"), known))
        return Fit(
            name=self.name,
            fits=worst is None,
            verdict=worst.verdict if worst else Verdict.FITS,
            flash_bytes=self.flash_bytes,
            ram_bytes=self.ram_bytes,
            reserve_flash_bytes=self.reserve_flash_bytes,
            reserve_ram_bytes=self.reserve_ram_bytes,
            rom_margin_bytes=flash[0] - flash[1],
            rom_margin_percent=_percent(flash[0] - flash[1], flash[0]),
            rom_upper_margin_bytes=None if flash[2] is None else flash[0] - flash[2],
            ram_margin_bytes=ram[0] - ram[1],
            ram_margin_percent=_percent(ram[0] - ram[1], ram[0]),
            ram_upper_margin_bytes=None if ram[2] is None else ram[0] - ram[2],
            limit=worst.memory if worst else None,
            reason=self._reason(worst, flash[0] - (flash[2] or 0), ram[0] - (ram[2] or 0)),
        )

    def limits(self, dtype: Dtype) -> list[tuple[Metric, float]]:
        """Return the figures that the board's memories bound, flash first, each with its limit."""
        return memory_limits(dtype, self.free_flash_bytes, self.free_ram_bytes)

    def _reason(self, worst: Use | None, flash_left: int, ram_left: int) -> str:
        if worst is None:
            left = f"{flash_left:,} B of flash and {ram_left:,} B of RAM are left"
            return f"fits {self.name}: {left}"
        size, reserve = {
            "flash": (self.flash_bytes, self.reserve_flash_bytes),
            "ram": (self.ram_bytes, self.reserve_ram_bytes),
        }[worst.memory]
        kept = f" ({size:,} B less {reserve:,} B reserved)" if reserve else ""
        return worst.reason(f"{self.name}{kept}")


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else -100.0


def _read_boards() -> Registry[Target]:
    boards: Registry[Target] = Registry("target")
    path = Path(__file__).with_name("boards.json")
    for row in json.loads(path.read_text(encoding="utf-8")):
        boards.add(row["name"], Target(**row | {"source": tuple(row["source"])}))
    return boards


TARGETS = _read_boards()


def load_target(name: str | Path) -> Target:
    """Return a listed board by its name, or the board that a YAML file describes.

    Raises:
        EdgebenchError: No board has that name, or the file is missing or has mistakes, all named.
    """
    text = str(name)
    if text.casefold() in TARGETS:
        return TARGETS[text.casefold()]
    if Path(text).suffix not in (".yaml", ".yml"):
        raise EdgebenchError(unknown("target", text, TARGETS) + "; or give a .yaml file")
    return _from_yaml(Path(text))


_TEXTS = ("name", "board", "mcu", "core", "note")
_MEASURES = ("clock_mhz", "power_mw", "sleep_mw", "battery_mwh")


def _from_yaml(path: Path) -> Target:
    from edgebench.yaml12 import read

    row = read(path)
    if not isinstance(row, dict):
        raise EdgebenchError(f"{path}: expected keys such as flash_bytes and ram_bytes")
    known = [field.name for field in fields(Target)]
    mistakes = [f"{path}: {unknown('key', str(key), known)}" for key in row if key not in known]
    mistakes += [f"{path}: {k} is missing" for k in ("flash_bytes", "ram_bytes") if k not in row]
    for key, value in row.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if str(key).endswith("_bytes") and key in known and not whole:
            mistakes.append(f"{path}: {key} must be a whole number of bytes, not {value!r}")
        if key in _TEXTS and not isinstance(value, str):
            mistakes.append(f"{path}: {key} must be text, not {value!r}")
        positive = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if key in _MEASURES and not (positive and value < float("inf")):
            mistakes.append(f"{path}: {key} must be a number above 0, not {value!r}")
    if mistakes:
        raise EdgebenchError(*mistakes)
    source = row.get("source", ())
    row["source"] = (source,) if isinstance(source, str) else tuple(source)
    named: dict[str, Any] = {"name": path.stem, **row}
    return Target(**named)


def smallest_fitting(footprint: Footprint) -> Target | None:
    """Return the listed board with the least memory (flash and RAM) that ``footprint`` fits."""
    fitting = [board for board in TARGETS.values() if board.check(footprint).fits]
    return min(fitting, key=lambda one: (one.flash_bytes + one.ram_bytes, one.name), default=None)
