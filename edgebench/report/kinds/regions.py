"""Decision regions of data with two features: what each point of the plane is taken for."""

from __future__ import annotations

from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from edgebench.record import StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Picture
from edgebench.report.canvas import COLOURS, panels
from edgebench.report.front import ranked
from edgebench.report.grouping import grouped, listed, named


@FIGURE_KINDS.register
def regions(record: StudyRecord, title: str, *, by: Axes = "") -> Picture | None:
    """Draw the regions of the best run of each group, by the analysis ``regions``.

    The plane is that of the two features as pixels, 0 to 255.
    """
    axes = listed(by)
    found = []
    for key, members in grouped(record, axes).items():
        seen = [row for row in members if row.analyses.get("regions", {}).get("classes")]
        found += [(key, row) for row in ranked(seen, record.objectives)[:1]]
    if not found:
        return None
    figure, places = panels(len(found), 1 + 2.6 * len(found), 3.6)
    classes = list(record.classes) or ["0", "1"]
    colours = ListedColormap([COLOURS[index % len(COLOURS)] for index in range(len(classes))])
    rows: list[dict[str, object]] = []
    for panel, (key, row) in zip(places, found, strict=True):
        grid = row.analyses["regions"]["classes"]
        panel.imshow(
            grid, origin="lower", extent=(0, 255, 0, 255), cmap=colours, vmin=-0.5,
            vmax=len(classes) - 0.5, alpha=0.75, interpolation="nearest",
        )  # fmt: skip
        panel.grid(visible=False)
        panel.set_title(named(axes, key) or row.name, fontsize=9)
        panel.set(xlabel="first feature", ylabel="second feature")
        shown = dict(zip(axes, key, strict=True))
        step = 255 / max(1, len(grid) - 1)
        rows += [
            {**shown, "trial": row.trial, "first": column * step, "second": line * step,
             "class": classes[value]}
            for line, values in enumerate(grid)
            for column, value in enumerate(values)
        ]  # fmt: skip
    figure.suptitle(title, fontsize=11)
    patches = [
        Patch(color=colours(index), label=name, alpha=0.75) for index, name in enumerate(classes)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return Picture(figure, rows)
