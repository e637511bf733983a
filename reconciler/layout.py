"""Layouts: Jinja2 files under ``templates/`` that render the YAML of a ``splice_info`` list.

A layout is given ``canvas``, ``vars``, ``each`` and everything under ``with``. Beside Jinja2's own it may use the
filter ``place`` (a source and its rectangle as one item) and the function ``fail`` (refuse a parameter). Whether the
sources make sense is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from traceback import walk_tb
from typing import Any, Final, NoReturn

import jinja2
from jinja2 import meta, nodes

from reconciler import expression, yaml
from reconciler.diagnostics import Diagnostic, Position, did_you_mean
from reconciler.errors import ManifestError
from reconciler.expression import Environment, ExpressionError, Names, UndefinedNameError
from reconciler.passing import passed_on

SUFFIX: Final = ".yaml.j2"
_MARK: Final = "\1"
"""Begins what stands for a key in a layout that is rendered for many outputs; no key that can be sent holds it."""

MAX_RENDERED: Final = 1000
"""Renderings of one layout that are remembered."""

GIVEN: Final = frozenset(("canvas", "vars", "each"))
"""Names that every layout is given, beside its parameters."""


def environment(loader: jinja2.BaseLoader) -> Environment:
    """Return the environment in which layouts and the texts of entries are rendered; layouts come from ``loader``."""
    made = expression.environment(loader)
    made.filters["place"] = place
    made.globals["fail"] = fail
    return made


def place(source: Any, x: Any, y: Any, width: Any, height: Any) -> str:
    """Return one item of a ``splice_info`` list, quoted as YAML needs it.

    ``source`` is a key or URL, or a mapping with ``url`` or ``output`` and what else an item may hold.
    """
    if isinstance(source, jinja2.Undefined):
        str(source)  # raises: a strict undefined has no text
    item = {"url": source} if isinstance(source, str) else source
    if not isinstance(item, Mapping):
        raise ExpressionError("a source is a key, or a mapping with `url` or `output`")
    return _WRITE({**item, "x": x, "y": y, "width": width, "height": height})


def fail(message: str) -> NoReturn:
    """Refuse what a layout was given."""
    raise ExpressionError(str(message))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


_WRITE: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode
_READ: Final = json.JSONDecoder(object_pairs_hook=_unique).decode


class Layout:
    """One layout. ``parameters`` are the names it takes under ``with``; None when other files take part in it.

    ``passed_on`` are those that it does not look at, see there. ``sees_rows`` tells whether it may look at ``each``.
    """

    def __init__(self, env: Environment, name: str) -> None:
        self.name = name
        self.file = f"templates/{name}{SUFFIX}"
        self.text, _, _ = _source(env, name)
        self._template = self._compile(env)
        tree = env.parse(self.text)
        self.parameters = _parameters(tree, env)
        self.sees_rows = self.parameters is None or "each" in self.parameters
        self.passed_on = passed_on(tree, (self.parameters or frozenset()) - GIVEN)
        self._sources = [name for name, listed in self.passed_on.items() if not listed]
        self._seen = sorted(self.parameters or ())
        self._rendered: dict[str, list[Any]] = {}

    def expand(self, names: Names, subject: str) -> list[Any]:
        """Render the sources for one output.

        What differs between outputs is mostly keys, and a layout that only passes them on is rendered once for all that
        differ in nothing else, with marks in the place of the keys. Raises ManifestError, located in the layout, or in
        what it rendered, and naming the output ``subject``.
        """
        marks = {name: _MARK + name for name in self._sources if isinstance(names.get(name), str) and names[name]}
        if not marks or self.sees_rows:
            return self._render(names, subject)
        marked = {**names, **marks}
        shape = repr([marked.get(name) for name in self._seen])
        if shape not in self._rendered:
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.clear()
            self._rendered[shape] = self._render(marked, subject)
        keys = {mark: names[name] for name, mark in marks.items()}
        return [
            {**item, "url": keys[item["url"]]} if isinstance(item.get("url"), str) and item["url"] in keys else item
            for item in self._rendered[shape]
        ]

    def _render(self, names: Names, subject: str) -> list[Any]:
        try:
            text = self._template.render(names)
        except Exception as error:  # noqa: BLE001 - a layout is a program of the project: it may raise anything
            raise self._error(error, names, subject) from None
        try:
            items = _items(text) or yaml.load(text, f"{self.file} (rendered)").data
        except ManifestError as error:
            raise ManifestError([_for(problem, subject) for problem in error.diagnostics]) from None
        if items is None:
            return []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            summary = "the layout renders no list of sources"
            raise self._located(1, summary, "render one `- {url: …, x: …, …}` for each source", subject)
        return items

    def parameter_problem(self, name: str) -> tuple[str, str | None] | None:
        """Return what is wrong with a name under ``with``, and advice: only the parameters of the layout act."""
        if self.parameters is None or name in self.parameters - GIVEN:
            return None
        if name in GIVEN:
            return f"`{name}` is given to every layout and cannot be a parameter", "choose another name"
        words = sorted(self.parameters - GIVEN)
        advice = did_you_mean(name, words) or expression.known_words(words)
        return f"the layout `{self.name}` has no parameter `{name}`", advice

    def _compile(self, env: Environment) -> jinja2.Template:
        try:
            template = env.get_template(self.name + SUFFIX)
        except jinja2.TemplateSyntaxError as error:
            summary = f"not valid Jinja2: {expression.syntax_problem(error)}"
            raise self._located(error.lineno, summary) from None
        except RecursionError:
            raise self._located(1, "not usable Jinja2: nested too deeply") from None
        template.globals = dict(template.globals)  # a ChainMap, which every rendering would copy slowly
        return template

    def _error(self, error: Exception, names: Names, subject: str) -> ManifestError:
        described = expression.describe(error, names)
        if isinstance(error, UndefinedNameError) and error.owner is None and error.name in (self.parameters or ()):
            advice = did_you_mean(str(error.name), names) or "give it under `with`"
            described = ExpressionError(f"the layout needs `{error.name}`", advice)
        # Jinja2 rewrites the traceback, so that frames of its code carry the line of the layout, and marks them so.
        lines = [line for frame, line in walk_tb(error.__traceback__) if "__jinja_exception__" in frame.f_globals]
        return self._located(lines[-1] if lines else 1, described.summary, described.advice, subject)

    def _located(self, line: int, summary: str, advice: str | None = None, subject: str | None = None) -> ManifestError:
        lines = yaml.split_lines(self.text)
        quoted_line = lines[line - 1] if 0 < line <= len(lines) else ""
        position = Position(self.file, line, len(quoted_line) - len(quoted_line.lstrip()) + 1)
        quoted = yaml.excerpt(lines, position)
        return ManifestError([Diagnostic("error", summary, position, quoted, advice, subject)])


def _parameters(tree: nodes.Template, env: Environment) -> frozenset[str] | None:
    if any(tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport))):
        return None
    return frozenset(meta.find_undeclared_variables(tree)) - set(env.globals)


class Layouts:
    """The layouts of a project, each read once."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self._known: dict[str, Layout | ManifestError] = {}

    def get(self, name: str) -> Layout:
        """Return a layout. Raises ExpressionError when there is none of that name, ManifestError when it is broken."""
        if name not in self._known:
            try:
                self._known[name] = Layout(self.env, name)
            except UnicodeDecodeError:
                raise ExpressionError(f"the layout `{name}` is not UTF-8", "save it as UTF-8") from None
            except jinja2.TemplateNotFound:
                names = self.names()
                raise ExpressionError(
                    f"there is no layout `{name}`", did_you_mean(name, names) or expression.known_words(names)
                ) from None
            except ManifestError as error:
                self._known[name] = error
        found = self._known[name]
        if isinstance(found, ManifestError):
            raise found
        return found

    def names(self) -> list[str]:
        """Return the names of all layouts, sorted."""
        found = self.env.list_templates(filter_func=lambda name: name.endswith(SUFFIX))
        return [name.removesuffix(SUFFIX) for name in found]


def _source(env: Environment, name: str) -> tuple[str, str | None, Any]:
    if env.loader is None:
        raise jinja2.TemplateNotFound(name)
    return env.loader.get_source(env, name + SUFFIX)


def _items(text: str) -> list[dict[str, Any]] | None:
    """Read what ``place`` writes, one JSON mapping a line, five times as fast as YAML; None for all else."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not all(line.startswith("- {") for line in lines):
        return None
    try:
        items: list[dict[str, Any]] = [_READ(line[2:]) for line in lines]
    except ValueError:
        return None
    return items


def _for(problem: Diagnostic, subject: str) -> Diagnostic:
    return Diagnostic(problem.severity, problem.summary, problem.position, problem.excerpt, problem.advice, subject)
