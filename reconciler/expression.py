"""The Jinja2 texts of an entry: compiled once, evaluated for every row, sandboxed.

A text that is exactly one expression (``"{{ vars.fps }}"``) has that expression's value, so that a number stays a
number; any other text is rendered. Layouts, which are whole files, are in ``layout``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import jinja2
from jinja2 import meta, nodes
from jinja2.environment import TemplateExpression
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from reconciler.diagnostics import did_you_mean

MAX_LENGTH: Final = 1_000_000
"""Characters of a text, or items of a list, that ``*`` may make."""

MAX_EXPONENT: Final = 64

Names = Mapping[str, Any]


class ExpressionError(ValueError):
    """A text cannot be compiled or evaluated; internal, always turned into a diagnostic."""

    def __init__(self, summary: str, advice: str | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.advice = advice


class UndefinedNameError(jinja2.UndefinedError):
    """The use of a name that does not exist: ``name`` in ``owner``, or at the top when that is None."""

    def __init__(self, message: str | None = None, *, name: object = None, owner: object = None) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


class _Undefined(jinja2.StrictUndefined):
    """A StrictUndefined whose exception knows what was asked for."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        owner = None if obj is missing else obj
        named: Any = partial(UndefinedNameError, name=name, owner=owner)
        super().__init__(hint, obj, name, named if exc is jinja2.UndefinedError else exc)


class Environment(ImmutableSandboxedEnvironment):
    """Jinja2 without a way out: no file but the layouts, no attribute that starts with ``_``, no huge products."""

    intercepted_binops = frozenset(("*", "**"))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a field of a row even if a dict has a method of that name, such as ``items``."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse products and powers that would fill the memory."""
        if operator == "**" and isinstance(right, int) and abs(right) > MAX_EXPONENT:
            raise jinja2.exceptions.SecurityError(f"the exponent {right} is too large")
        if operator == "*" and any(
            isinstance(one, str | list | tuple) and isinstance(many, int) and len(one) * many > MAX_LENGTH
            for one, many in ((left, right), (right, left))
        ):
            raise jinja2.exceptions.SecurityError("the product is too long")
        return super().call_binop(context, operator, left, right)


def environment(loader: jinja2.BaseLoader) -> Environment:
    """Return the environment in which layouts and the texts of entries are rendered; layouts come from ``loader``."""
    made = Environment(
        loader=loader,
        undefined=_Undefined,
        autoescape=False,  # the result is YAML, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals.pop("lipsum", None)  # random text is no function of the manifest
    made.filters.pop("random", None)
    return made


class Expression:
    """One compiled text. ``names`` are the names at the top that it uses, such as ``each``.

    ``raw`` evaluates it without a word about what is wrong: it may raise anything, or return an undefined.
    """

    __slots__ = ("names", "raw", "text")

    def __init__(self, env: Environment, text: str) -> None:
        self.text = text
        try:
            tree = env.parse(text)
            self.names = frozenset(meta.find_undeclared_variables(tree))
            self.raw = _compile(env, tree)
        except jinja2.TemplateSyntaxError as error:
            raise ExpressionError(f"not a valid Jinja2 text: {syntax_problem(error)}", _syntax_advice(text)) from None
        except RecursionError:
            raise ExpressionError("not a usable Jinja2 text: nested too deeply") from None

    def evaluate(self, names: Names) -> Any:
        """Return the value for these names. Raises ExpressionError."""
        try:
            value = self.raw(names)
            if isinstance(value, jinja2.Undefined):
                str(value)  # raises: a strict undefined has no text
        except Exception as error:  # noqa: BLE001 - the text is a program of the manifest's author: it may raise anything
            raise describe(error, names) from None
        return value


def syntax_problem(error: jinja2.TemplateSyntaxError) -> str:
    """Return Jinja2's own words, without its full stop."""
    return (error.message or "it cannot be read").rstrip(".")


def describe(error: Exception, names: Names) -> ExpressionError:
    """Turn whatever a text or a layout raised into words; ``names`` are those it was given."""
    if isinstance(error, ExpressionError):
        return error
    if isinstance(error, UndefinedNameError) and isinstance(error.name, str | int):
        return _undefined(str(error.name), error.owner, names)
    if isinstance(error, jinja2.TemplateNotFound):
        return ExpressionError(f"there is no file `{error.name}` among the layouts")
    if isinstance(error, jinja2.TemplateError):
        return ExpressionError(error.message or "the text cannot be rendered")
    return ExpressionError(f"the text cannot be rendered: {error}")


def _undefined(name: str, owner: object, names: Names) -> ExpressionError:
    known: Iterable[object] = names if owner is None else owner if isinstance(owner, Mapping) else ()
    within = next((f"{top}." for top, value in names.items() if value is owner and owner is not None), "")
    summary = f"`{within}{name}` is not defined"
    if owner is not None and not isinstance(owner, Mapping):
        return ExpressionError(f"{summary}: {_show(owner)} has no fields")
    words = sorted(map(str, known))
    return ExpressionError(summary, did_you_mean(name, words) or known_words(words, within))


def known_words(words: Sequence[str], prefix: str = "") -> str | None:
    """Return advice that lists what there is, or None when the list would be too long to read."""
    if not words:
        return "nothing is defined there"
    return f"known: {', '.join(f'`{prefix}{word}`' for word in words)}" if len(words) <= 12 else None


def _show(value: object) -> str:
    text = repr(value)
    return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"


def _syntax_advice(text: str) -> str | None:
    if text.count("{{") != text.count("}}"):
        return "close every {{ with }}"
    if text.count("{%") != text.count("%}"):
        return "close every {% with %}"
    return None


def _compile(env: Environment, tree: nodes.Template) -> Callable[[Names], Any]:
    """Return the quickest way to evaluate: fields joined to text, one expression, or a whole template."""
    parts = _parts(tree)
    if parts is not None and len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
        body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), parts[0], lineno=1)]
        expression = TemplateExpression(env.from_string(nodes.Template(body, lineno=1)), undefined_to_none=False)
        slow: Callable[[Names], Any] = expression
        return _field(parts[0], slow) or slow
    template = env.from_string(tree)
    return _joined(parts or (), template.render) or template.render


def _parts(tree: nodes.Template) -> Sequence[nodes.Expr] | None:
    """Return the pieces of a text without statements, or None."""
    if not all(isinstance(node, nodes.Output) for node in tree.body):
        return None
    return [piece for node in tree.body if isinstance(node, nodes.Output) for piece in node.nodes]


def _reference(piece: nodes.Expr) -> tuple[str, str] | None:
    """Return ``("each", "id")`` for a piece that is ``{{ each.id }}``."""
    if isinstance(piece, nodes.Getattr) and isinstance(piece.node, nodes.Name):
        return piece.node.name, piece.attr
    return None


def _field(piece: nodes.Expr, slow: Callable[[Names], Any]) -> Callable[[Names], Any] | None:
    reference = _reference(piece)
    if reference is None:
        return None
    name, field = reference

    def evaluate(names: Names) -> Any:
        owner = names.get(name)
        return owner[field] if type(owner) is dict and field in owner else slow(names)

    return evaluate


def _joined(pieces: Sequence[nodes.Expr], slow: Callable[[Names], Any]) -> Callable[[Names], Any] | None:
    """Return a function that joins constants and fields, a tenth of what Jinja2 needs; None for other pieces."""
    steps: list[str | tuple[str, str]] = []
    for piece in pieces:
        step = piece.data if isinstance(piece, nodes.TemplateData) else _reference(piece)
        if step is None:
            return None
        steps.append(step)
    owners = {step[0] for step in steps if not isinstance(step, str)}
    if len(owners) == 1:
        return _filled_in(steps, owners.pop(), slow)

    def evaluate(names: Names) -> Any:
        text = ""
        for step in steps:
            if type(step) is str:
                text += step
                continue
            owner = names.get(step[0])
            if type(owner) is not dict or step[1] not in owner:
                return slow(names)
            text += str(owner[step[1]])
        return text

    return evaluate if steps else None


def _filled_in(
    steps: Sequence[str | tuple[str, str]], name: str, slow: Callable[[Names], Any]
) -> Callable[[Names], Any]:
    """Return the quickest way to join constants and the fields of one mapping."""
    text = "".join(step.replace("%", "%%") if isinstance(step, str) else f"%({step[1]})s" for step in steps)

    def evaluate(names: Names) -> Any:
        owner = names.get(name)
        if type(owner) is dict:
            try:
                return text % owner
            except KeyError:
                pass
        return slow(names)

    return evaluate
