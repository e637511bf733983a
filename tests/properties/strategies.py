"""Any message of the API, for hypothesis: built from the models themselves, with texts that are hard to carry."""

from __future__ import annotations

import types
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from reconciler.api.node import Node
from reconciler.api.shape import UNSENDABLE

NASTY_TEXTS: Final = (
    *(
        "]]>",
        "<![CDATA[x]]>",
        "&amp;",
        "&#x0;",
        "<!-- -->",
        "<?xml?>",
        "<a/>",
        '"',
        "'",
        " x ",
        "\tx\n",
        "a\r\nb",
        "\r",
    ),
    *(
        "\u2028x",
        "\u202ex",
        "\ufeffx",
        "\ufffd",
        "e\u0301",
        "é",
        "演示 (1).mp4",
        "😀",
        "0",
        "-0",
        "true",
        "null",
        "1e3",
    ),
)

_texts = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: not UNSENDABLE.search(c)), min_size=1, max_size=20
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw a text that is not blank: the API reads that as absent."""
    return draw((_texts | st.sampled_from(NASTY_TEXTS)).filter(lambda text: bool(text.strip())))


NUMBERS: Final = st.decimals(-1_000_000, 1_000_000, places=3) | st.integers(0, 10**9).map(Decimal)
SCALARS: Final[dict[Any, st.SearchStrategy[Any]]] = {
    str: texts(),
    int: st.integers(-(10**9), 10**9),
    bool: st.booleans(),
    Decimal: NUMBERS,
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for what a field holds, absence excluded."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return values(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return st.one_of([values(option) for option in get_args(annotation) if option is not type(None)])
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        return st.lists(values(get_args(annotation)[0]), min_size=1, max_size=3).map(tuple)
    return SCALARS[annotation] if annotation in SCALARS else nodes(annotation)


@cache
def nodes(model: type[Node]) -> st.SearchStrategy[Any]:
    """Return a strategy for messages of a class, none of whose nodes is empty: the API reads those as absent."""

    def build() -> st.SearchStrategy[Any]:
        fields = model.model_fields.items()
        needed = {name: values(field.annotation) for name, field in fields if field.is_required()}
        optional = {name: values(field.annotation) for name, field in fields if not field.is_required()}
        built = st.fixed_dictionaries(needed, optional=optional)
        return built.filter(bool).map(lambda found: model(**found))

    return st.deferred(build)
