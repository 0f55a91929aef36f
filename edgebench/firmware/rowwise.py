"""The elements that a step of an element-wise stage writes: a row, or all of them."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.firmware.layer import Layer


@dataclass(frozen=True)
class Rowwise:
    """How many elements a step writes, and the statements that move the pointers to them.

    ``closing`` moves the result's back, for the activations that are fused behind the loop.
    """

    count: int
    opening: str
    closing: str = ""

    def loop(self, *statements: str) -> str:
        """Return the loop over the elements, ``i`` counting them."""
        inside = "\n".join(f"    {line}" for line in statements)
        loop = f"for (int i = 0; i < {self.count}; ++i) {{\n{inside}\n}}"
        return f"{self.opening}{loop}{self.closing}"


def rowwise(layer: Layer) -> Rowwise:
    """Return the elements of a step; pointers are moved to the rows of step ``step``."""
    total = layer.result.elements
    if layer.stage.window is None:
        return Rowwise(total, "")
    height = layer.plan.network.height(layer.stage.target)
    count = total // height
    moves = [(layer.pointer(name), layer.row(name, "step", count)) for name in layer.names]
    result = layer.row(layer.stage.target, "step", count)
    moves.append(("y", result))
    opening = "".join(f"{pointer} += {far};\n" for pointer, far in moves if far != "0")
    back = f"\ny -= {result};" if layer.stage.fused and result != "0" else ""
    return Rowwise(count, opening, back)
