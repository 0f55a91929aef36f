"""Pools over windows: the maximum, the mean, and the mean or maximum of a whole image."""

from __future__ import annotations

from edgebench.firmware.elements import load, store
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.operators.convolution import side
from edgebench.firmware.values import C_TYPES, Unsupported
from edgebench.profiling import Tensor


def pool(layer: Layer) -> str:
    """Write a pool over windows, a row of its result at a step."""
    source, target = layer.activation(), layer.result
    ctype(source)
    if len(source.shape) not in (3, 4) or source.shape[0] != 1 or len(layer.main.outputs) != 1:
        raise Unsupported("it has no image of a batch of one")
    maximum = layer.main.op == "MaxPool"
    attributes = layer.attributes
    height, width, channels = side(source.shape)
    _, out_width, _ = side(target.shape)
    (kernel_h, kernel_w), (stride_h, stride_w) = attributes["kernel"], attributes["strides"]
    dilation_h, dilation_w = attributes["dilations"]
    top, left, bottom, right = attributes["pads"]
    row = layer.row(source.name, "row", width * channels)
    value = "x[at]" if maximum else load(layer, source).format("at")
    if maximum:
        kind = C_TYPES[source.dtype]
        opening = [f"{kind} v = 0;" if source.quantized else "float v = 0.0f;"]
        inside = ["v = !count || x[at] > v ? x[at] : v;", "++count;"]
        closing = [_written(layer, source)]
    else:
        opening, inside = ["float v = 0.0f;"], [f"v += {value};", "++count;"]
        closing = [f"{{ {store(layer, 'i', 'v / (float)count')} }}"]
    counted = not maximum and bool(attributes.get("count_include_pad"))
    skip = "continue;"
    if counted:
        reach = (f"row < {height + bottom}", f"column < {width + right}")
        closing.insert(0, "/* what lies in the padding counts as zero */")
        inside = inside[:1]
        skip = f"count += {reach[0]} && {reach[1]}; continue;"
        inside.append("++count;")
    y = layer.row(layer.stage.target, "step", out_width * channels)
    return "\n".join(
        [
            f"int i = {y};",
            f"for (int out = 0; out < {out_width}; ++out) {{",
            f"    for (int c = 0; c < {channels}; ++c, ++i) {{",
            "        int count = 0;",
            *(f"        {line}" for line in opening),
            f"        for (int ky = 0; ky < {kernel_h}; ++ky) {{",
            f"            const int row = step * {stride_h} + ky * {dilation_h} - {top};",
            f"            for (int kx = 0; kx < {kernel_w}; ++kx) {{",
            f"                const int column = out * {stride_w} + kx * {dilation_w} - {left};",
            "                int at;",
            f"                if (row < 0 || row >= {height} ||",
            f"                    column < 0 || column >= {width}) {{",
            f"                    {skip}",
            "                }",
            f"                at = {row} + column * {channels} + c;",
            *(f"                {line}" for line in inside),
            "            }",
            "        }",
            *(f"        {line}" for line in closing),
            "    }",
            "}",
        ]
    )


def _written(layer: Layer, source: Tensor) -> str:
    """Return the statement that writes a maximum, rescaled where it is held otherwise."""
    if not layer.result.quantized:
        return f"{{ {store(layer, 'i', 'v')} }}"
    if source.quantization == layer.result.quantization:
        return "y[i] = v;"
    scale, zero = layer.scale(source).one
    return f"{{ {store(layer, 'i', f'((float)(v - ({zero})) * {number(scale)})')} }}"


def image_mean(layer: Layer) -> str:
    """Write the mean of each channel, a row of the image at a step; sums lie where the result will.

    Integers are summed in 32 bits, the mean is rounded once.
    """
    source = layer.activation()
    ctype(source)
    height, width, channels = side(source.shape)
    if layer.stage.window is None or layer.stage.window.per_row != height:
        raise Unsupported("its image does not lie channels last")
    row = layer.row(source.name, "step", width * channels)
    last = f"step == {height - 1}"
    count = height * width
    if not source.quantized:
        body = [
            f"x += {row};" if row != "0" else "",
            f"for (int c = 0; c < {channels}; ++c) {{",
            "    float sum = step == 0 ? 0.0f : y[c];",
            f"    for (int i = 0; i < {width}; ++i) {{",
            f"        sum += x[i * {channels} + c];",
            "    }",
            f"    y[c] = {last} ? sum * {number(1.0 / count)} : sum;",
            "}",
        ]
        return "\n".join(line for line in body if line)
    scale, zero = layer.scale(source).one
    mean = f"((float)sum - {number(float(zero * count))}) * {number(scale)} / {number(count)}"
    body = [
        "int32_t *sums = (int32_t *)(void *)y; /* each result is written over sums read before */",
        f"x += {row};" if row != "0" else "",
        f"for (int c = 0; c < {channels}; ++c) {{",
        "    int32_t sum = step == 0 ? 0 : sums[c];",
        f"    for (int i = 0; i < {width}; ++i) {{",
        f"        sum += x[i * {channels} + c];",
        "    }",
        f"    if ({last}) {{",
        f"        {store(layer, 'c', mean)}",
        "    } else {",
        "        sums[c] = sum;",
        "    }",
        "}",
    ]
    return "\n".join(line for line in body if line)


def global_pool(layer: Layer) -> str:
    """Write the mean or maximum over all but batch and channels, whatever the layout."""
    window = layer.stage.window
    if layer.main.op == "GlobalAveragePool" and window is not None:
        return image_mean(layer)
    from edgebench.firmware.operators.reduce import reduction

    kind = "mean" if layer.main.op == "GlobalAveragePool" else "max"
    return reduction(layer, kind, tuple(range(2, len(layer.activation().shape))))


GENERATORS.add("MaxPool", Generator(pool))
GENERATORS.add("AveragePool", Generator(pool, limits=True))
GENERATORS.add("GlobalAveragePool", Generator(global_pool))
GENERATORS.add("GlobalMaxPool", Generator(global_pool))
