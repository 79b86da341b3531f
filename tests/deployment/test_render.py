"""Names of columns stay names: Markdown, YAML and JSON show them as they are."""

from __future__ import annotations

import json

import jinja2
import pytest

from automl_wf.core.number_format import number, ordinal
from automl_wf.deployment.render import (
    NEEDED,
    environment,
    marked,
    md,
    pretty,
    render,
    sentence,
    show,
    template_root,
    to_yaml,
)

yaml = pytest.importorskip("yaml")

HOSTILE = [
    "a|b",
    "`code`",
    "<script>alert(1)</script>",
    "[link](http://x)",
    "line\nbreak",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "quote \" and ' and \\",
    "# heading",
    "🙂 emoji",
    "'; DROP TABLE x; --",
    '{"a": [1, null]}',
    "- item",
    "key: value",
    "null",
    "yes",
    "1e5",
    "",
    "\u2028 \u0085 \ufeff \x00 \x7f",
    "\ud800",
    "&amp;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_has_no_markup_of_a_name(text: str) -> None:
    shown = md(text)
    bare = shown
    for escaped in (
        "\\\\",
        "\\|",
        "\\`",
        "\\[",
        "\\]",
        "\\{",
        "\\}",
        "\\#",
        "\\*",
        "\\_",
        "\\~",
        "\\$",
        "\\!",
        "\\(",
        "\\)",
    ):
        bare = bare.replace(escaped, "")
    assert not set("|`<>[]{}#*_\\\n\r\u2028\u0085\x00\ud800") & set(bare)


def test_markdown_by_hand() -> None:
    assert md("a|b\n`c`") == "a\\|b \\`c\\`"
    assert md("<b> & co") == "&lt;b&gt; &amp; co"


@pytest.mark.parametrize("text", HOSTILE)
def test_yaml_gives_back_what_went_in(text: str) -> None:
    content = {"name": text, "list": [text, {"deep": text}], text: 1}
    assert yaml.safe_load(to_yaml(content)) == content


@pytest.mark.parametrize("value", [0, -3, 0.1, 1e-05, 1e22, -2.5e-300, 1e16, True, None, [], {}, [[1, 2], [3]]])
def test_yaml_keeps_types(value: object) -> None:
    again = yaml.safe_load(to_yaml({"value": value}))["value"]
    assert again == value
    assert type(again) is type(value)


def test_pretty_is_strict_json() -> None:
    assert json.loads(pretty({"a\ud800": "🙂"})) == {"a\ud800": "🙂"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        pretty(float("nan"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (True, "yes"),
        (None, "–"),
        (3.0, "3"),
        (1e-9, "1e-09"),
        (24271.4, "24,271"),
        (9180.4, "9,180"),
        (1e20, "1e+20"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1398844612, "1398844612"), (1872.0, "1872"), (0.123456, "0.1235"), (None, "–"), (-1200, "-1200")],
)
def test_what_counts_nothing_has_no_separators(value: float, text: str) -> None:
    assert ordinal(value) == text


def test_show_leaves_the_open_mark_and_nests() -> None:
    assert show(NEEDED) == NEEDED
    assert show({"a_b": [1, 2.5], "c": "x|y"}) == "a\\_b: 1, 2.5; c: x\\|y"
    assert show([]) == "–"


def test_undefined_names_are_errors() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("model_card.md.jinja", {"names": []})
    assert issubclass(environment().undefined, jinja2.StrictUndefined)


def test_templates_are_found_in_a_checkout_and_html_escapes() -> None:
    assert (template_root() / "sections").is_dir()
    assert environment().autoescape("report.html.jinja") is True
    assert environment().autoescape("model_card.md.jinja") is False


@pytest.mark.parametrize(
    ("text", "in_markdown", "in_html"),
    [
        ("`a_b` raises *it*", "`a_b` raises \\*it\\*", "<code>a_b</code> raises *it*"),
        ("no code", "no code", "no code"),
        # A backtick without a partner, and names that might end the code or become markup
        ("`a`b` matters", "\\`a\\`b\\` matters", "`a`b` matters"),
        ("`<b>` & more", "&lt;b&gt; &amp; more", "<code>&lt;b&gt;</code> &amp; more"),
        ("`a|b`", "a\\|b", "<code>a|b</code>"),
    ],
)
def test_names_in_sentences_are_code(text: str, in_markdown: str, in_html: str) -> None:
    assert sentence(text) == in_markdown
    assert str(marked(text)) == in_html
