"""Manifests, layouts and rows to the desired state: every output that should exist, with its whole job request.

Pure: rows come through a function, layouts through a Jinja2 environment. ``declaration`` merges defaults, ``instances``
follows ``for_each``, ``matrix`` and ``when``, ``request`` builds and checks one job, ``alike`` spares that work where
outputs differ only in names, ``links`` ties outputs together, ``problems`` collects what is wrong, so that a person
sees all of it at once. ``memory`` has what came of rows that were resolved before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reconciler.errors import ManifestError
from reconciler.expression import Environment
from reconciler.layout import Layouts
from reconciler.manifest import Manifest
from reconciler.resolve.alike import EntriesAlike, RowsAlike
from reconciler.resolve.declaration import Declaration, check_defaults
from reconciler.resolve.instances import ROW_KEYS, Instance, Instances, Reader
from reconciler.resolve.links import Declared, link
from reconciler.resolve.memory import Memory, Page, Unusable
from reconciler.resolve.moves import moved
from reconciler.resolve.problems import Problems
from reconciler.resolve.request import Bench
from reconciler.resolve.templates import Templates, kept
from reconciler.resolve.values import Compiler
from reconciler.state import DesiredState

__all__ = ["Memory", "Reader", "resolve"]


def resolve(  # noqa: PLR0913 - each of them decides
    manifests: Sequence[Manifest],
    *,
    layouts: Environment,
    rows: Reader,
    variables: Mapping[str, Any],
    bucket: str,
    region: str,
    memory: Memory | None = None,
) -> DesiredState:
    """Resolve all manifests of a project.

    ``layouts`` is the environment of ``layout.environment``; ``rows`` returns the rows of a file by its name relative
    to the project, and raises ManifestError or OSError; ``variables`` is what manifests and layouts see as ``vars``.
    ``memory`` spares the rows that it knows, and learns what came of all; it must be of a run in which everything but
    the rows was the same. Raises ManifestError with every error and warning of all files, in reading order.
    """
    compiler = Compiler(layouts, {"vars": dict(variables)})
    work = partial(_resolved, manifests, compiler, rows, bucket, region)
    if memory is not None and memory.known:
        try:
            return work(memory)
        except (ManifestError, Unusable):
            memory.forget()  # whatever is wrong is said as it would be if nothing were known
    return work(memory)


def _resolved(
    manifests: Sequence[Manifest], compiler: Compiler, rows: Reader, bucket: str, region: str, memory: Memory | None
) -> DesiredState:
    problems = Problems()
    for manifest in manifests:
        problems.add(manifest.problems)
        problems.add(check_defaults(manifest))
    templates = Templates.read(manifests, compiler, problems)
    bench = Bench(Layouts(compiler.env), templates, compiler, problems, bucket, region)
    declared = Declared(Instances(compiler, rows, problems), problems)
    for manifest in manifests:
        _read(bench, manifest, declared, memory)
    link(declared)
    outputs = declared.outputs
    moves = moved(manifests, declared.addresses(), problems) if any(manifest.moved for manifest in manifests) else {}
    found = problems.diagnostics()
    if problems.errors:
        raise ManifestError(found)
    in_order = sorted(outputs)
    if in_order != list(outputs):
        outputs = {address: outputs[address] for address in in_order}
    return DesiredState(outputs, moves, tuple(found), kept(templates, bucket, region))


def _read(bench: Bench, manifest: Manifest, declared: Declared, memory: Memory | None) -> None:
    """Take every output of every entry of a manifest."""
    entries = EntriesAlike(bench, manifest)
    for name, entry in manifest.outputs.items():
        if not declared.begin(manifest, name):
            continue
        if ROW_KEYS.isdisjoint(entry):
            declared.take(Instance(name, {}), entries.draft(name, partial(declared.declaration, name)))
            continue
        declaration = declared.declaration(name)
        rows = RowsAlike(bench, declaration)
        page = None if memory is None else memory.page(declaration, rows, declared.instances)
        if page is None or not page.recall(declared):
            _take(declaration, rows, declared, page)


def _take(declaration: Declaration, rows: RowsAlike, declared: Declared, page: Page | None) -> None:
    """Take the output of every row of an entry; the ``page`` learns them when there is nothing to say about any."""
    mark = declared.mark()
    for instance in declared.instances.of(declaration):
        if declared.is_new(instance):
            declared.take(instance, rows.draft(instance))
    if page is not None and (outputs := declared.ordinary_since(mark)):
        page.learn(outputs)
