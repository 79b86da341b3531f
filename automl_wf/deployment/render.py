"""The jinja2 environment: strict about names, and with filters that keep a column's name from becoming markup.

Templates hold the words and no arithmetic; Python holds the facts and no words. Whatever came with the data (names of
columns, classes, text of the owner) reaches a page through `md` or `show` only, and a YAML block through `yaml` only.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_wf.core.number_format import number, ordinal
from automl_wf.exceptions import PackageError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

NEEDED = "[More Information Needed]"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~$!])")
_YAML_SAFE = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010fffd]")


@cache
def template_root() -> Path:
    """Folder of the templates: inside the installed package, or beside it in a checkout.

    Raises
    ------
    PackageError
        There is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "model_card.md.jinja").is_file():
            return folder
    raise PackageError(f"The templates of automl_wf were expected in {package / 'templates'}. Install automl_wf again.")


@cache
def environment() -> Environment:
    """The environment all pages are rendered in: names that are not defined are errors, HTML escapes by itself."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(
        loader=FileSystemLoader(template_root()),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(md=md, show=show, number=number, ordinal=ordinal, percent=percent, yaml=to_yaml, pretty=pretty)
    env.filters.update(natural=natural, sentence=sentence, marked=marked)
    env.globals["needed"] = NEEDED
    return env


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render one template, named by its path below the templates' folder.

    Parameters
    ----------
    template : str
        For example "model_card.md.jinja".
    context : mapping
        Every name the template uses.

    Returns
    -------
    str
        The page.
    """
    env = environment()
    if template.startswith("package/"):
        # These mark by themselves where white space goes
        env = env.overlay(trim_blocks=False, lstrip_blocks=False)
    return env.get_template(template).render(**context)


def md(text: object) -> str:
    """Text that Markdown shows as it is, on one line.

    Examples
    --------
    >>> md("a|b `c` <img>")
    'a\\\\|b \\\\`c\\\\` &lt;img&gt;'
    """
    return _escaped(" ".join("".join(_visible(c) for c in str(text)).split()))


def _escaped(line: str) -> str:
    line = "".join(_visible(c) for c in line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", line)


def natural(score: float | None, greater_is_better: bool) -> float | None:
    """A score that is greater where it is better, in its natural form.

    Examples
    --------
    >>> natural(-13.4, False), natural(0.9, True), natural(0.0, False)
    (13.4, 0.9, 0.0)
    """
    return score if score is None or greater_is_better else 0.0 - score


def percent(share: float | None) -> str:
    """A share for people, with a space that does not break.

    Examples
    --------
    >>> percent(0.123), percent(0.0123), percent(0.0001)
    ('12\xa0%', '1.2\xa0%', '<\xa00.1\xa0%')
    """
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "<\u00a00.1\u00a0%"
    decimals = 0 if share >= 0.0995 or share == 0 else 1
    return f"{100 * share:.{decimals}f}\u00a0%"


def _code_parts(text: str) -> list[str]:
    """What stands outside and inside of backticks, in turns; all is outside where a backtick has no partner."""
    parts = text.split("`")
    return parts if len(parts) % 2 else [text]


def sentence(text: str) -> str:
    r"""A sentence of ours for Markdown: what it names in backticks is code, in a fence that the name cannot end.

    Examples
    --------
    >>> print(sentence("`a_b` raises *it*"))
    `a_b` raises \*it\*
    """
    parts = _code_parts(text)
    return "".join(md_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def md_code(text: str) -> str:
    """A name as code on one line of Markdown; escaped instead where it might end the code or become markup."""
    line = " ".join("".join(_visible(c) for c in text).split())
    return f"`{line}`" if line and not any(c in line for c in "`<>&|") else md(text)


def marked(text: str) -> Markup:
    """A sentence of ours for HTML: what it names in backticks is code."""
    from markupsafe import Markup, escape

    parts = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(_code_parts(text))
    ]
    return Markup("").join(parts)


def show(value: Any) -> str:
    """Any plain JSON value on one line of Markdown."""
    if value is None or isinstance(value, (bool, int, float)):
        return number(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{md(k)}: {show(v)}" for k, v in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(show(v) for v in value) or "–"
    return NEEDED if value == NEEDED else md(value)


def pretty(value: Any) -> str:
    """Indented JSON that any parser reads: ASCII only, no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)


def to_yaml(value: Any, indent: int = 0) -> str:
    """Block YAML of plain JSON types; every string is quoted, so none can become syntax.

    Parameters
    ----------
    value : mapping or list
        Nested mappings and lists of strings, numbers, booleans and None.
    indent : int, default=0
        Blanks before each line.

    Returns
    -------
    str
        Lines without a final newline.
    """
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{pad}{_yaml_key(k)}:{_yaml_child(v, indent)}" for k, v in value.items())
    if isinstance(value, (list, tuple)) and value:
        items = [to_yaml(v, indent + 2) for v in value]
        return "\n".join(f"{pad}- {item[indent + 2 :]}" for item in items)
    return pad + _yaml_scalar(value)


def _yaml_child(value: Any, indent: int) -> str:
    if isinstance(value, (Mapping, list, tuple)) and value:
        return "\n" + to_yaml(value, indent + 2)
    return " " + _yaml_scalar(value)


def _yaml_key(key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"[a-z][a-z_-]*", text) and text not in _YAML_WORDS else _yaml_scalar(text)


_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _yaml_float(value)
    return '"' + "".join(_yaml_character(c) for c in str(value)) + '"'


def _yaml_float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    # YAML 1.1 reads 1e-05 as text: a number with an exponent needs a point and a sign
    if exponent and "." not in mantissa:
        mantissa += ".0"
    return mantissa + exponent + (power if not exponent or power[0] in "+-" else "+" + power)


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if _YAML_SAFE.fullmatch(character):
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    # Controls and lone surrogates cannot be shown; format characters may turn the direction of the text around them
    return (
        "\ufffd" if category in ("Cc", "Cs", "Cn") or character in "\u202a\u202b\u202d\u202e\u2066\u2067" else character
    )
