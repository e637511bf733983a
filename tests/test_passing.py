from __future__ import annotations

import pytest
from jinja2 import meta

from reconciler.passing import passed_on
from tests.resolving import TEMPLATES, layouts


def found(text: str) -> dict[str, bool]:
    env = layouts()
    return dict(passed_on(env.parse(text), meta.find_undeclared_variables(env.parse(text)) - {"fail"}))


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("side-by-side", {"left": False, "right": False}),
        ("stacked", {"top": False, "bottom": False}),
        ("grid", {"sources": True}),
        ("picture-in-picture", {"main": False, "inset": False}),
        ("presenter", {"main": False, "others": True}),
    ],
)
def test_the_layouts_of_the_package(layout: str, expected: dict[str, bool]) -> None:
    assert found((TEMPLATES / f"{layout}.yaml.j2").read_text(encoding="utf-8")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "- {{ a | place(0, 0, 2, 2) }}",
        "{% if a is string and a %}- {{ a | place(0, 0, 2, 2) }}{% endif %}",
        "{% if not a or a is defined %}x{% elif a %}- {{ a | place(0, 0, 2, 2) }}{% else %}y{% endif %}",
        "- {{ a | place(1 if a else 2, 0, 2, 2) }}",
    ],
)
def test_what_passes_a_source_on(text: str) -> None:
    assert found(text) == {"a": False}


@pytest.mark.parametrize(
    "text",
    [
        "{% for one in a %}- {{ one | place(0, loop.index, 2, 2) }}{% else %}x{% endfor %}",
        "{{ a | length }}{% for one in a %}{% if one %}- {{ one | place(0, 0, 2, 2) }}{% endif %}{% endfor %}",
    ],
)
def test_what_passes_a_list_on(text: str) -> None:
    assert found(text) == {"a": True}


@pytest.mark.parametrize(
    "text",
    [
        "{{ a }}",
        "{{ a | place(0, 0, 2, 2) | replace('x', 'y') }}",
        "{{ a | place(0, 0, 2, 2) ~ '' }}",
        "{% filter upper %}{{ a | place(0, 0, 2, 2) }}{% endfilter %}",
        "{% set b %}{{ a | place(0, 0, 2, 2) }}{% endset %}{{ b }}",
        "{% macro m() %}{{ a | place(0, 0, 2, 2) }}{% endmacro %}{{ m() }}",
        "{% set a = a %}- {{ a | place(0, 0, 2, 2) }}",
        "{% if a == 'x' %}- {{ a | place(0, 0, 2, 2) }}{% endif %}",
        "{% if a in ('x', 'y') %}z{% endif %}",
        "- {{ a | place(a, 0, 2, 2) }}",
        "- {{ a | place(0, 0, 2, height=a) }}",
        "- {{ 'x' | place(0, 0, 2, *a) }}",
        "{{ a or 'x' }}",
        "{{ a if a else 'x' }}",
        "{{ a | default('x') | place(0, 0, 2, 2) }}",
        "{% for one in a %}{{ one }}{% endfor %}",
        "{% for one in a if one != 'x' %}- {{ one | place(0, 0, 2, 2) }}{% endfor %}",
        "{% for one in a %}- {{ loop.previtem | place(0, 0, 2, 2) }}{% endfor %}",
        "{% for one in a %}{{ loop.changed(one) }}{% endfor %}",
        "{% for one in a %}{% for two in one %}- {{ two | place(0, 0, 2, 2) }}{% endfor %}{% endfor %}",
        "{% for one in a %}{{ one | length }}{% endfor %}",
        "{% for one, two in a %}- {{ one | place(0, 0, 2, 2) }}{% endfor %}",
        "{% for one in a[1:] %}- {{ one | place(0, 0, 2, 2) }}{% endfor %}",
        "{% for one in a recursive %}- {{ one | place(0, 0, 2, 2) }}{{ loop(one) }}{% endfor %}",
        "{% for one in a %}{% for one in [1] %}{{ one }}{% endfor %}{% endfor %}",
        "{% with b = a %}- {{ b | place(0, 0, 2, 2) }}{% endwith %}",
        "{{ a is sameas 'x' }}",
        "{{ a.url }}",
    ],
)
def test_what_looks_at_it(text: str) -> None:
    assert "a" not in found(text)
