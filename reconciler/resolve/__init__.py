"""Manifests, layouts and rows to the desired state: every output that should exist, with its whole job request.

Pure: row files come through a function, layouts through a Jinja2 environment. ``declaration`` merges defaults,
``instances`` follows ``for_each``, ``request`` builds and checks one job, ``references`` ties outputs together,
``problems`` collects what is wrong, so that a person sees all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.errors import ManifestError
from reconciler.expression import Environment
from reconciler.layout import Layouts
from reconciler.manifest import Manifest
from reconciler.resolve.declaration import Declaration, check_defaults, declare
from reconciler.resolve.instances import Instances, Reader
from reconciler.resolve.moves import moved
from reconciler.resolve.problems import Problems
from reconciler.resolve.references import circles, near_addresses
from reconciler.resolve.request import Bench, Builder, Draft
from reconciler.resolve.templates import Templates, kept
from reconciler.resolve.values import Compiler
from reconciler.state import DesiredState, Output
from reconciler.yaml import Path

__all__ = ["Reader", "resolve"]


def resolve(
    manifests: Sequence[Manifest],
    *,
    layouts: Environment,
    rows: Reader,
    variables: Mapping[str, Any],
    bucket: str,
    region: str,
) -> DesiredState:
    """Resolve all manifests of a project.

    ``layouts`` is the environment of ``layout.environment``; ``rows`` reads a row file by its name relative to the
    project, and raises ManifestError or OSError; ``variables`` is what manifests and layouts see as ``vars``. Raises
    ManifestError with every error and warning of all files, in reading order.
    """
    problems = Problems()
    compiler = Compiler(layouts, {"vars": dict(variables)})
    for manifest in manifests:
        problems.add(manifest.problems)
        problems.add(check_defaults(manifest))
    templates = Templates.read(manifests, compiler, problems)
    bench = Bench(Layouts(layouts), templates, compiler, problems, bucket, region)
    drafts = _Drafts(bench, Instances(compiler, rows, problems))
    drafts.read(_declarations(manifests, problems))
    outputs = _linked(drafts, problems)
    moves = moved(manifests, drafts.declared, problems)
    found = problems.diagnostics()
    if problems.errors:
        raise ManifestError(found)
    return DesiredState(
        {address: outputs[address] for address in sorted(outputs)},
        moves,
        tuple(found),
        kept(templates, bucket, region),
    )


def _declarations(manifests: Iterable[Manifest], problems: Problems) -> Iterator[Declaration]:
    first: dict[str, Manifest] = {}
    for manifest in manifests:
        for name in manifest.outputs:
            if name in first:
                at = first[name].declared_at(name)
                summary = f"`{name}` is already declared in {at.source}, line {at.line}"
                problems.add(
                    [manifest.diagnostic("error", ("outputs", name), summary, "rename one of the two", on_key=True)]
                )
                continue
            first[name] = manifest
            yield declare(manifest, name, lambda problem: problems.add([problem]))


class _Drafts:
    """Every declared address, with its draft unless it is wrong."""

    def __init__(self, bench: Bench, instances: Instances) -> None:
        self.bench = bench
        self.instances = instances
        self.declared: dict[str, Draft | None] = {}
        self.by_object: dict[str, str] = {}

    def read(self, declarations: Iterable[Declaration]) -> None:
        """Build every output of every entry."""
        for declaration in declarations:
            builder = Builder(self.bench, declaration)
            for instance in self.instances.of(declaration):
                draft = builder.build(instance)
                self.declared[instance.address] = draft
                if draft is not None:
                    self._take_object(draft)

    def _take_object(self, draft: Draft) -> None:
        output, declaration = draft.output, draft.declaration
        other = self.by_object.setdefault(output.object, output.address)
        if other == output.address or "${jobid}" in output.object:
            return
        owner = self.declared[other]
        at = owner.output.declared_at if owner else None
        where = f", {at.source}, line {at.line}" if at else ""
        summary = f"`{output.object}` is also the object of `{other}`{where}"
        self.bench.problems.row(
            ("object", declaration.manifest.source, declaration.name),
            output.address,
            summary,
            lambda: declaration.diagnostic(
                "error", ("output", "object"), summary, "give every output a key of its own"
            ),
        )


def _linked(drafts: _Drafts, problems: Problems) -> dict[str, Output]:
    """Fill in the sources that are other outputs and find out what must be made first."""
    outputs: dict[str, Output] = {}
    for address, draft in drafts.declared.items():
        if draft is None:
            continue
        output = _filled(draft, drafts, problems) if draft.references else draft.output
        upstream = {drafts.by_object[key]: None for key in output.sources if key in drafts.by_object}
        outputs[address] = replace(output, upstream=tuple(upstream)) if upstream else output
    for circle in circles({address: output.upstream for address, output in outputs.items()}):
        draft = drafts.declared[circle[0]]
        assert draft is not None  # it has upstream outputs, so it was built
        urls = [info.url for info in outputs[circle[0]].request.operation[0].video_synthesis.splice_info]
        key = outputs[circle[1]].object
        path: Path = ("video_synthesis", "splice_info", *([urls.index(key)] if key in urls else ()))
        summary = f"outputs are made of each other: {' → '.join(circle)}"
        problem = draft.declaration.diagnostic("error", path, summary, "break the circle")
        problems.add([replace(problem, subject=circle[0])])
    return outputs


def _filled(draft: Draft, drafts: _Drafts, problems: Problems) -> Output:
    """Return an output whose references are the keys of the outputs they name."""
    request = draft.output.request
    operation = request.operation[0]
    infos = list(operation.video_synthesis.splice_info)
    for index, address in draft.references.items():
        if key := _referenced(draft, index, address, drafts, problems):
            infos[index] = infos[index].model_copy(update={"url": key})
    synthesis = operation.video_synthesis.model_copy(update={"splice_info": tuple(infos)})
    operation = operation.model_copy(update={"video_synthesis": synthesis})
    sources = dict.fromkeys((*(info.url for info in infos), *draft.output.sources))
    return replace(draft.output, request=request.model_copy(update={"operation": (operation,)}), sources=tuple(sources))


def _referenced(draft: Draft, index: int, address: str, drafts: _Drafts, problems: Problems) -> str | None:
    """Return the key of the output that a source names, or report why there is none."""
    path = ("video_synthesis", "splice_info", index, "output")
    if address not in drafts.declared:
        advice = near_addresses(address, drafts.declared)
        _report(draft, path, f"there is no output `{address}`", advice, problems)
        return None
    upstream = drafts.declared[address]
    if upstream is None:
        return None  # what is wrong with it has been reported there
    if "${jobid}" in upstream.output.object:
        summary = f"`{address}` cannot be a source: with ${{jobid}} its key is known only when it is made"
        _report(draft, path, summary, "write its key without ${jobid}", problems)
        return None
    return upstream.output.object


def _report(draft: Draft, path: tuple[str | int, ...], summary: str, advice: str | None, problems: Problems) -> None:
    declaration = draft.declaration
    problems.row(
        (declaration.manifest.source, declaration.name, path),
        draft.output.address,
        summary,
        lambda: declaration.diagnostic("error", path, summary, advice),
    )
