"""Names from anywhere stay text, in Markdown and HTML."""

from __future__ import annotations

import dataclasses

import pytest
from handover_case import bundle
from markdown_it import MarkdownIt
from report_studies import reference

from edgebench.export.handover.card import card
from edgebench.markup import code, escaped
from edgebench.report import document, page, render
from edgebench.tracking import views

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = (
    "<script>alert(1)</script>",
    "](javascript:alert(1))",
    "![x](http://nowhere/x.png)",
    "a | b",
    "`c` ``d",
    "*e* _f_ **g** ~~h~~",
    "# head\n- item",
    "&lt;i&gt;",
    "back\\slash\\|",
    "<img src=x onerror=alert(1)>",
)


def shown(markdown: str) -> str:
    """Return the text that a reader sees, and assert that nothing but text is in it."""
    [paragraph, inline, end] = PARSER.parse(markdown)
    assert (paragraph.type, end.type) == ("paragraph_open", "paragraph_close")
    assert {child.type for child in inline.children or ()} <= {"text", "code_inline"}
    return "".join(child.content for child in inline.children or ())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_shown_as_it_is(text: str) -> None:
    """On one line, as text or as code: read by a CommonMark parser with tables."""
    line = " ".join(text.split())
    assert shown(f"x {escaped(text)} y") == f"x {line} y"
    assert shown(f"x {code(text)} y") == f"x {line} y"


def test_names_that_mean_nothing_stay_as_they_are() -> None:
    """Metrics, trials and figures are readable in the source too."""
    for text in ("val/accuracy_best", "trial-0001-vgg-w32", "1.5e-3", "C++", "95 %", "élan", "(a)"):
        assert escaped(text) == text
        assert code(text) == f"`{text}`"


def test_the_model_card() -> None:
    """Class names, the data set's and the run's: the card has the structure of an innocent one."""
    proof = dict(bundle().proof)
    plain = [token.type for token in PARSER.parse(card(proof))]
    for name in HOSTILE:
        proof["run"] = {**bundle().proof["run"], "dataset": f"folder:{name}", "name": name}
        proof["preprocessing"] = {**bundle().proof["preprocessing"], "classes": [name] * 10}
        text = card(proof)
        tokens = PARSER.parse(text)
        assert [token.type for token in tokens] == plain, name
        inline = {child.type for token in tokens for child in token.children or ()}
        assert not inline & {"html_inline", "link_open", "image"}


def test_reports_and_notes() -> None:
    """A data set of any name, files of any name: no link, no HTML, no cell too many."""
    record = reference()
    for name in HOSTILE:
        odd = dataclasses.replace(record, dataset=f"folder:{name}", omitted=(name,))
        for text in (document(odd, "markdown"), views.note(odd)):
            tokens = PARSER.parse(text)
            inline = {child.type for token in tokens for child in token.children or ()}
            assert not inline & {"html_inline", "link_open", "image"}, name
            assert not any(token.type == "html_block" for token in tokens)
        rows = [{"a": name, "b": 1}]
        assert render(rows, "html").count("<td") == 2
        table = PARSER.parse(render(rows, "markdown"))
        assert sum(token.type == "td_open" for token in table) == 2


def test_the_page() -> None:
    """No name ends the script that holds the data, or becomes an element."""
    name = " ".join(HOSTILE)
    odd = dataclasses.replace(reference(), dataset=f"folder:{name}", omitted=(name, "</script>"))
    text = page(odd)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count("</script>") == page(reference()).count("</script>")
