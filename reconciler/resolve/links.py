"""What is declared, and what outputs have to do with each other: whose object is whose source, which key is taken.

Here one output meets the others; how it is built for itself is the business of ``request``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from operator import attrgetter
from typing import NamedTuple

from reconciler.api.messages import JobRequest
from reconciler.manifest import Manifest
from reconciler.resolve.declaration import Declaration, declare
from reconciler.resolve.instances import Instance, Instances
from reconciler.resolve.problems import Problems
from reconciler.resolve.references import circles, near_addresses
from reconciler.resolve.stencil import Draft, Drawn
from reconciler.state import Output
from reconciler.yaml import Path


class Mark(NamedTuple):
    """How many outputs, keys, references and problems there are at some time."""

    outputs: int
    keys: int
    references: int
    problems: int


class Declared:
    """Every declared address: ``outputs`` in the order of their declaration, and the rows of those that are broken."""

    def __init__(self, instances: Instances, problems: Problems) -> None:
        self.instances = instances
        self.problems = problems
        self.outputs: dict[str, Output] = {}
        self.broken: dict[str, int] = {}
        self.by_object: dict[str, str] = {}
        self.references: dict[str, Mapping[int, str]] = {}
        self._manifests: dict[str, Manifest] = {}

    def addresses(self) -> Mapping[str, object]:
        """Return every address that a person declared, and the names of entries whose rows are not all known."""
        return {**self.outputs, **self.broken, **dict.fromkeys(self.instances.unread)}

    def begin(self, manifest: Manifest, name: str) -> bool:
        """Take the name of an entry. An entry of a name that is taken is reported, and does not count."""
        first = self._manifests.setdefault(name, manifest)
        if first is manifest:
            return True
        at = first.declared_at(name)
        summary = f"`{name}` is already declared in {at.source}, line {at.line}"
        self.problems.add(
            [manifest.diagnostic("error", ("outputs", name), summary, "rename one of the two", on_key=True)]
        )
        return False

    def declaration(self, name: str) -> Declaration:
        """Return an entry with its defaults, and report what excludes each other in it."""
        return declare(self._manifests[name], name, lambda problem: self.problems.add([problem]))

    def of(self, address: str) -> Declaration:
        """Return the entry that an address belongs to."""
        return self.declaration(address.partition("[")[0])

    def is_new(self, instance: Instance) -> bool:
        """Tell whether the address of a row is free, and report it when it is not."""
        earlier = self.outputs.get(instance.address)
        row = self.broken.get(instance.address) if earlier is None else earlier.row
        if row is not None:
            self.instances.repeated(self.of(instance.address), instance, row)
        return row is None

    def take(self, instance: Instance, draft: Draft | None) -> None:
        """Take an output, or None for one that is wrong."""
        if draft is None:
            self.broken[instance.address] = instance.row
            return
        output = draft.output
        self.outputs[output.address] = output
        if draft.references:
            self.references[output.address] = draft.references
        other = self.by_object.setdefault(output.object, output.address)
        if other != output.address and "${jobid}" not in output.object:
            self._taken(output, other)

    def mark(self) -> Mark:
        """Return how much has been taken."""
        return Mark(len(self.outputs), len(self.by_object), len(self.references), self.problems.count)

    def ordinary_since(self, mark: Mark) -> list[Output]:
        """Return what was taken since, or nothing if a key was taken twice, an output named, or a problem reported."""
        outputs, keys, references, problems = self.mark()
        if (references, problems) != mark[2:] or keys - mark.keys != outputs - mark.outputs:
            return []
        return list(islice(self.outputs.values(), mark.outputs, None))

    def take_all(self, outputs: Sequence[Output]) -> bool:
        """Take outputs that are known to be sound, and tell whether no address and no key of theirs was taken."""
        addresses, keys = len(self.outputs), len(self.by_object)
        named = list(map(attrgetter("address"), outputs))
        self.outputs.update(zip(named, outputs, strict=True))
        self.by_object.update(zip(map(attrgetter("object"), outputs), named, strict=True))
        return len(self.outputs) - addresses == len(self.by_object) - keys == len(outputs)

    def is_left_out(self, address: str) -> bool:
        """Tell whether there is no output of an address because of its ``when``."""
        return address.partition("[")[0] in self._manifests and self.instances.is_left_out(self.of(address), address)

    def report(self, address: str, path: Path, summary: str, advice: Callable[[], str | None], where: str = "") -> None:
        """Report an error at a node of the entry of an address; ``where`` says more of the output it concerns."""
        declaration = self.of(address)
        self.problems.row(
            (declaration.manifest.source, declaration.name, path),
            address + where,
            summary,
            lambda: declaration.diagnostic("error", path, summary, advice()),
        )

    def _taken(self, output: Output, other: str) -> None:
        """Report a key that two outputs are stored under."""
        summary = f"`{output.object}` is also the object of `{other}`, {self._where(self.outputs[other])}"
        where = f" ({self._where(output)})" if output.row else ""
        advice = "give every output a key of its own"
        self.report(output.address, ("output", "object"), summary, lambda: advice, where)

    def _where(self, output: Output) -> str:
        """Name the place of an output for people: that of its row, or of its entry."""
        if output.row:
            return self.instances.where(output.address.partition("[")[0], output.row)
        at = output.declared_at
        return f"{at.source}, line {at.line}" if at else "declared elsewhere"


def link(declared: Declared) -> None:
    """Fill in the sources that are other outputs, and find out what must be made first."""
    by_object = declared.by_object
    if not declared.references and by_object.keys().isdisjoint(_sources(declared.outputs.values())):
        return
    made_of: dict[str, tuple[str, ...]] = {}
    for address, output in declared.outputs.items():
        found = _filled(output, declared) if address in declared.references else output
        upstream = tuple({by_object[key]: None for key in found.sources if key in by_object})
        if upstream:
            made_of[address] = upstream
            declared.outputs[address] = found.made_of(upstream)
    _report_circles(made_of, declared)


def _sources(outputs: Iterable[Output]) -> Iterator[str]:
    return chain.from_iterable(map(attrgetter("sources"), outputs))


def _report_circles(made_of: Mapping[str, tuple[str, ...]], declared: Declared) -> None:
    outputs = declared.outputs
    for circle in circles(made_of):
        urls = [info.url for info in outputs[circle[0]].request.operation[0].video_synthesis.splice_info]
        key = outputs[circle[1]].object
        path: Path = ("video_synthesis", "splice_info", *([urls.index(key)] if key in urls else ()))
        summary = f"outputs are made of each other: {' → '.join(circle)}"
        problem = declared.of(circle[0]).diagnostic("error", path, summary, "break the circle")
        declared.problems.add([replace(problem, subject=circle[0])])


def _filled(output: Output, declared: Declared) -> Output:
    """Return an output whose references are the keys of the outputs they name."""
    references = declared.references[output.address]
    keys = dict(_referenced(output.address, references, declared))
    if isinstance(output.recipe, Drawn):
        recipe, sources = output.recipe.linked(keys)
        return output.by(recipe, sources=sources)
    request = _renamed(output.request, keys)
    urls = [info.url for info in request.operation[0].video_synthesis.splice_info]
    return replace(output, request=request, sources=tuple(dict.fromkeys((*urls, *output.sources))))


def _renamed(request: JobRequest, keys: Mapping[int, str]) -> JobRequest:
    operation = request.operation[0]
    infos = list(operation.video_synthesis.splice_info)
    for index, key in keys.items():
        infos[index] = infos[index].model_copy(update={"url": key})
    synthesis = operation.video_synthesis.model_copy(update={"splice_info": tuple(infos)})
    operation = operation.model_copy(update={"video_synthesis": synthesis})
    return request.model_copy(update={"operation": (operation,)})


def _referenced(address: str, references: Mapping[int, str], declared: Declared) -> Iterator[tuple[int, str]]:
    """Yield the keys of the outputs that sources name, by the index of the source, and report where there is none."""
    for index, named in references.items():
        upstream = declared.outputs.get(named)
        if upstream is not None and "${jobid}" not in upstream.object:
            yield index, upstream.object
        elif problem := _problem(named, declared):
            declared.report(address, ("video_synthesis", "splice_info", index, "output"), *problem)


def _problem(named: str, declared: Declared) -> tuple[str, Callable[[], str | None]] | None:
    """Return why an address cannot be a source, and advice; None when that has been reported already."""
    if named in declared.outputs:
        summary = f"`{named}` cannot be a source: with ${{jobid}} its key is known only when it is made"
        return summary, lambda: "write its key without ${jobid}"
    name = named.partition("[")[0]
    if named in declared.broken or name in declared.instances.unread:
        return None
    if declared.is_left_out(named):
        summary = f"there is no output `{named}`: its `when` leaves it out"
        return summary, lambda: "leave this source out too, or change the condition"
    return f"there is no output `{named}`", lambda: near_addresses(named, declared.outputs)
