from __future__ import annotations

import contextlib
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.expression import Expression, ExpressionError, environment

ENV = environment(jinja2.DictLoader({}))
NAMES: dict[str, Any] = {
    "each": {"id": "001", "items": 3, "keys": "k", "_x": 1, "nested": {"a": [1, 2]}, "none": None},
    "vars": {"fps": 25, "flag": True, "list": ["a", "b"]},
}


def evaluate(text: str) -> Any:
    return Expression(ENV, text).evaluate(NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ vars.fps }}", 25),
        ("{{vars.fps}}", 25),
        ("{{- vars.fps -}}", 25),
        (" {{ vars.fps }}", " 25"),
        ("{{ vars.fps }}\n", "25\n"),
        ("{{ vars.fps * 2 }}", 50),
        ("{{ vars.fps / 2 }}", 12.5),
        ("{{ vars.flag }}", True),
        ("{{ vars.list }}", ["a", "b"]),
        ("{{ vars.list[1] }}", "b"),
        ("{{ each.nested.a[1] }}", 2),
        ("{{ each.id }}", "001"),
        ("{{ each['id'] }}", "001"),
        ("{{ each.items }}-{{ each.keys }}", "3-k"),
        ("{{ each._x }}", 1),
        ("{{ each.none }}", None),
        ("{{ each.none }}!", "None!"),
        ("out/{{ each.id }}.${ext}", "out/001.${ext}"),
        ("{{ each.missing | default('x') }}", "x"),
        ("{{ 'a' if vars.flag else nothing }}", "a"),
        ("{% if vars.flag %}yes{% endif %}", "yes"),
        ("{% for x in vars.list %}{{ x }}{% endfor %}", "ab"),
        ("{{ each.id | int + 1 }}", 2),
        ("{{ [1, 2] + [3] }}", [1, 2, 3]),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ 'ab' * 3 }}", "ababab"),
        ("{{ '<&>' }}{{ each.id }}", "<&>001"),
    ],
)
def test_values(text: str, value: object) -> None:
    found = evaluate(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "summary", "advice"),
    [
        ("{{ each.ids }}", "`each.ids` is not defined", "did you mean `id`?"),
        ("x{{ each.ids }}", "`each.ids` is not defined", "did you mean `id`?"),
        ("{{ vars.zzz }}", "`vars.zzz` is not defined", "known: `vars.flag`, `vars.fps`, `vars.list`"),
        ("{{ var.fps }}", "`var` is not defined", "did you mean `vars`?"),
        ("{{ each.nested.b }}", "`b` is not defined", "known: `a`"),
        ("{{ each.id.x }}", "`x` is not defined: `'001'` has no fields", None),
        (
            "{{ vars.fps",
            "not a valid Jinja2 text: unexpected end of template, expected 'end of print statement'",
            "close every {{ with }}",
        ),
        ("{% if x }", "not a valid Jinja2 text: unexpected '}'", "close every {% with %}"),
        ("{{ x | nofilter }}", "not a valid Jinja2 text: No filter named 'nofilter'", None),
        ("{{ 1 // 0 }}", "the text cannot be rendered: integer division or modulo by zero", None),
        ("{{ 'x' * 10 ** 9 }}", "the product is too long", None),
        ("{{ 10 ** 9 * 'x' }}", "the product is too long", None),
        ("{{ 9 ** 999999999 }}", "the exponent 999999999 is too large", None),
        (
            "{{ range(10 ** 9) | list }}",
            "the text cannot be rendered: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
            None,
        ),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe.", None),
        ("{{ vars.list.append(1) }}", "access to attribute 'append' of 'list' object is unsafe.", None),
        ("{% include '/etc/passwd' %}", "there is no file `/etc/passwd` among the layouts", None),
        ("{{ lipsum() }}", "`lipsum` is not defined", "known: `each`, `vars`"),
        ("{{ vars.list | random }}", "not a valid Jinja2 text: No filter named 'random'", None),
    ],
)
def test_what_is_refused(text: str, summary: str, advice: str | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert (caught.value.summary, caught.value.advice) == (summary, advice)


def test_nesting_has_an_end() -> None:
    with pytest.raises(ExpressionError, match="nested too deeply"):
        Expression(ENV, "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")


def test_names_are_those_at_the_top() -> None:
    assert Expression(ENV, "{{ each.id }}{{ vars.x }}{% set y = 1 %}{{ y }}").names == {"each", "vars"}
    assert Expression(ENV, "{{ 1 }}").names == frozenset()


@given(st.text(alphabet="{}%# abcdeach.vrsfp|'0123(),[]+*-", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_evaluated_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        evaluate("{{" + text + "}}")


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.text() | st.integers(), min_size=1, max_size=3)
)
def test_the_quick_way_gives_what_jinja2_gives(row: dict[str, Any]) -> None:
    text = "x" + "/".join(f"{{{{ each.{name} }}}}" for name in row) + ".mp4"
    quick = Expression(ENV, text).evaluate({"each": row})
    assert quick == ENV.from_string(text).render(each=row)
