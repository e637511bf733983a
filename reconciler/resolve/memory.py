"""What came of rows that were resolved before, so that a row which has not changed is not resolved again.

A row is known by its line: where everything but the rows is the same, the same line makes the same output. What is kept
is what planning compares of an output; its request is made from the line when somebody asks. Only for files in which
every row is a line, and for entries of which no row refers to another output or is warned of. Where anything is out of
the ordinary, all rows are resolved again: that a row is known may never be seen in an answer. Where this is kept is the
business of ``cache``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, repeat
from operator import attrgetter
from typing import Any, Final

import msgspec

from reconciler.api.messages import JobRequest
from reconciler.resolve.alike import RowsAlike
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.instances import Instance, Instances
from reconciler.resolve.links import Declared
from reconciler.resolve.stencil import Draft
from reconciler.rows import Lines, Rows
from reconciler.state import Output

MIN_KNOWN: Final = 0.5
"""Share of the rows that must be known; else it is quicker to resolve them all."""

MAX_NEW: Final = 0.02
"""Share of the rows that may be new before what is known is written anew: to write costs more than to resolve those."""

_NOTHING: Final = -1
"""What came of a blank line, or of one that ``when`` leaves out."""

_MARKS: Final = ("protect", "adopt", "ignore_changes", "templates")
_ABSENT: Final = ""
"""Fills up the sources of an output that has fewer of them than others; no key is empty."""

Draw = Callable[[Instance], Draft | None]
"""Resolves one row."""


class Unusable(Exception):  # noqa: N818 - no error of the program: all rows are resolved again
    """What is known cannot be made use of."""


class Column(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One field of many outputs: its value for each; or the place of each output's among the ``values``.

    A single value without ``places`` is that of all outputs.
    """

    values: list[Any]
    places: list[int] | None = None

    @classmethod
    def of(cls, values: Sequence[Hashable]) -> Column:
        """Return the shortest column of these values."""
        distinct = dict.fromkeys(values)
        if len(distinct) == 1:
            return cls(list(distinct))
        if len(distinct) > len(values) // 4:
            return cls(list(values))
        numbers = dict(zip(distinct, count(), strict=False))
        return cls(list(distinct), [numbers[value] for value in values])

    def spread(self) -> Iterable[Any]:
        """Return the value for every output, endlessly when all have the same."""
        if self.places is not None:
            return [self.values[place] for place in self.places]
        return self.values if len(self.values) != 1 else repeat(self.values[0])

    def at(self, places: Sequence[int]) -> Column:
        """Return the column of the outputs in these places."""
        if self.places is not None:
            return Column(self.values, [self.places[place] for place in places])
        return Column([self.values[place] for place in places]) if len(self.values) != 1 else self

    def each(self, change: Callable[[Any], Any]) -> Column:
        """Return the column with every value changed, equal ones once."""
        return Column(list(map(change, self.values)), self.places)


class Known(msgspec.Struct, gc=False, frozen=True):
    """What came of the rows of one entry, field by field; ``data`` is what their file held, ``rows`` are the numbers.

    The first of ``sources`` is the first source of every output, and so on.
    """

    data: bytes
    rows: list[int]
    addresses: list[str]
    objects: list[str]
    sources: list[Column]
    digests: Column
    labels: Column
    marks: dict[str, Column]

    @classmethod
    def of(cls, data: bytes, outputs: Sequence[Output]) -> Known:
        """Take what is to be known of outputs."""
        sources = list(map(attrgetter("sources"), outputs))
        width = max(map(len, sources))
        labels = {id(output.labels): tuple(output.labels.items()) for output in outputs}
        return cls(
            data=data,
            rows=list(map(attrgetter("row"), outputs)),
            addresses=list(map(attrgetter("address"), outputs)),
            objects=list(map(attrgetter("object"), outputs)),
            sources=[
                Column.of([keys[index] if index < len(keys) else _ABSENT for keys in sources]) for index in range(width)
            ],
            digests=Column.of(list(map(attrgetter("digest"), outputs))),
            labels=Column.of([labels[id(output.labels)] for output in outputs]),
            marks={name: Column.of(list(map(attrgetter(name), outputs))) for name in _MARKS},
        )

    def outputs(self, page: Page) -> list[Output]:
        """Make the outputs anew, a field at a time: for each of 100,000 by itself it would take three times as long."""
        made = list(map(object.__new__, repeat(Output, len(self.rows))))
        recipes = map(Remembered, repeat(page), self.addresses, self.rows, self.digests.spread())
        _put(made, "recipe", recipes)
        _put(made, "address", self.addresses)
        _put(made, "object", self.objects)
        _put(made, "row", self.rows)
        _put(made, "sources", self._sources())
        _put(made, "upstream", repeat(()))
        _put(made, "declared_at", repeat(page.declaration.manifest.declared_at(page.declaration.name)))
        _put(made, "labels", self.labels.each(dict).spread())
        for name, column in self.marks.items():
            _put(made, name, column.each(_frozen).spread())
        return made

    def at(self, places: Sequence[int], rows: list[int]) -> Known:
        """Return what is known of the outputs in these places; ``rows`` are the numbers that they have now."""
        return Known(
            data=self.data,
            rows=rows,
            addresses=[self.addresses[place] for place in places],
            objects=[self.objects[place] for place in places],
            sources=[column.at(places) for column in self.sources],
            digests=self.digests.at(places),
            labels=self.labels.at(places),
            marks={name: column.at(places) for name, column in self.marks.items()},
        )

    def _sources(self) -> Iterator[tuple[str, ...]]:
        padded = zip(*[column.spread() for column in self.sources], strict=False)
        if any(_ABSENT in column.values for column in self.sources):
            return (tuple(filter(None, sources)) for sources in padded)
        return padded


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _put(outputs: Iterable[Output], name: str, values: Iterable[Any]) -> None:
    """Give every output its value of a field, past the class, which is frozen."""
    deque(map(vars(Output)[name].__set__, outputs, values), maxlen=0)


class Remembered(msgspec.Struct, gc=False, frozen=True):
    """An output that is known: the page and the number of its row, from which its request is made."""

    page: Page
    address: str
    row: int
    content: str

    def request(self) -> JobRequest:
        """Resolve the row."""
        return self.page.request(self.address, self.row)

    def digest(self) -> str:
        """Return the digest of the request's content."""
        return self.content


class Memory:
    """What is known of the rows of a project, by the name of their entry, and what a run has learned of them.

    ``stale`` tells whether what was learned is worth keeping.
    """

    def __init__(self, known: Mapping[str, Known]) -> None:
        self.known = dict(known)
        self.stale = False
        self._learned: dict[str, tuple[bytes, Sequence[Output]]] = {}

    def page(self, declaration: Declaration, alike: RowsAlike, instances: Instances) -> Page | None:
        """Begin with the rows of an entry; None when nothing can be known of them."""
        held = instances.held(declaration)
        return None if held is None else Page(self, declaration, alike.draft, instances, *held)

    def learn(self, name: str, data: bytes, outputs: Sequence[Output]) -> None:
        """Take what came of the rows of an entry, all of them."""
        self._learned[name] = (data, outputs)

    def learned(self) -> dict[str, Known]:
        """Return what is known now."""
        return {name: Known.of(data, outputs) for name, (data, outputs) in self._learned.items()}

    @property
    def size(self) -> int:
        """How many outputs are known now."""
        return sum(len(outputs) for _, outputs in self._learned.values())

    def forget(self) -> None:
        """Begin anew, with nothing known."""
        self.known.clear()
        self._learned.clear()


class Page:
    """The rows of one entry, with what is known of them."""

    def __init__(
        self, memory: Memory, declaration: Declaration, draw: Draw, instances: Instances, data: bytes, rows: Rows
    ) -> None:
        self.declaration = declaration
        self._memory = memory
        self._draw = draw
        self._instances = instances
        self._data = data
        self._rows = rows

    def learn(self, outputs: Sequence[Output]) -> None:
        """Take what came of all rows, when it can be known again."""
        if (
            Lines.of(self._data, self._rows.source) is not None
            and isinstance(next(self._rows.walk())[1], dict)  # and so is every other
            and all(output.sources and _ABSENT not in output.sources for output in outputs)
        ):
            self._memory.stale = True
            self._memory.learn(self.declaration.name, self._data, outputs)

    def recall(self, declared: Declared) -> bool:
        """Take the outputs of all rows, and tell whether enough of them are known. Raises Unusable."""
        known = self._memory.known.pop(self.declaration.name, None)
        if known is None:
            return False
        problems = declared.problems.count
        outputs = known.outputs(self) if known.data == self._data else self._mixed(known)
        if outputs is None:
            return False
        if not declared.take_all(outputs) or declared.problems.count > problems:
            raise Unusable
        self._memory.learn(self.declaration.name, self._data, outputs)
        return True

    def request(self, address: str, row: int) -> JobRequest:
        """Return the request of a row that is known."""
        each = self._lines.row(row)
        assert each is not None  # an output came of it
        draft = self._draw(self._instances.of_row(address, row, each))
        assert draft is not None  # as before
        return draft.output.request

    @cached_property
    def _lines(self) -> Lines:
        lines = Lines.of(self._data, self._rows.source)
        assert lines is not None  # else nothing would be known
        return lines

    def _mixed(self, known: Known) -> list[Output] | None:
        """Return the outputs of known lines and of those that are resolved now, in their order.

        None when too few are known. Raises ManifestError or Unusable.
        """
        compared = self._compared(known)
        if compared is None:
            return None
        places, rows, new = compared
        outputs = [*known.at(places, rows).outputs(self), *self._resolved(new)]
        outputs.sort(key=attrgetter("row"))  # two sorted runs, merged
        return outputs or None  # no rows at all: that is worth a word

    def _compared(self, known: Known) -> tuple[list[int], list[int], list[tuple[int, Any]]] | None:
        """Return the places of the known outputs, the numbers of their rows now, and all other rows."""
        lines, former = Lines.of(self._data, self._rows.source), Lines.of(known.data, self._rows.source)
        if lines is None or former is None or lines.header != former.header:
            return None
        at = dict.fromkeys(former.body, _NOTHING)
        at.update(zip([former.body[row - former.first] for row in known.rows], count(), strict=False))
        found = list(map(at.get, lines.body))
        new = [number for number, place in enumerate(found, lines.first) if place is None]
        if len(new) > (1 - MIN_KNOWN) * len(found):
            return None
        self._memory.stale = self._memory.stale or len(new) > MAX_NEW * len(found)
        places = [place for place in found if place is not None and place != _NOTHING]
        rows = [number for number, place in enumerate(found, lines.first) if place is not None and place != _NOTHING]
        read = [(number, row) for number in new if (row := lines.row(number)) is not None]
        return places, rows, read

    def _resolved(self, new: Sequence[tuple[int, Any]]) -> Iterator[Output]:
        if not new:
            return
        rows = Rows(self._rows.source, lambda: iter(new), self._rows.where)
        for instance in self._instances.of(self.declaration, rows):
            draft = self._draw(instance)
            if draft is None or draft.references:
                raise Unusable
            yield draft.output
