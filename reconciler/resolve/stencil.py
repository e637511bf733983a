"""Outputs that differ only in the names of what they read and write: built once, then filled in.

Thousands of outputs – the rows of an entry, or entries that were written by a program – have the same nodes with the
same values, but for keys, user data and the texts of watermarks. What the documents demand of a job does not depend on
those, as long as each is an ordinary text. So one of such outputs, the witness, is built and checked in full
(``request``), and what came out becomes a stencil: for the others only the texts are looked at. A text that is not
ordinary is not refused here; its output is built in full as well, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from reconciler.api import rules
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.violations import named
from reconciler.api.watermark import Watermark
from reconciler.diagnostics import Position
from reconciler.fingerprint import content_digest, sources_of
from reconciler.resolve.report import Report
from reconciler.resolve.sources import PLACEHOLDER, beside, suffix
from reconciler.state import Output

Kind = Literal["url", "output", "object", "user_data", "text"]
"""A source's key or URL, another output's address, the key of the result, user data, a watermark's text."""

MARK: Final = "\0"
"""Begins what stands for a text in a frame; no key holds it."""

MAX_LENGTH: Final = 200
"""Characters of a text that is surely not too long: keys take 850 bytes, user data 950."""

_MARKS: Final = ("protect", "adopt", "ignore_changes", "templates")
_NONE: Final[Mapping[int, str]] = {}
_OWN_TEXTS: Final = frozenset(("url", "object", "user_data"))


class Leaf(NamedTuple):
    """A text that differs from output to output: what it means, and how it was written."""

    kind: Kind
    text: str


class Draft(NamedTuple):
    """An output whose sources from other outputs, by the index of the source, are not filled in yet."""

    output: Output
    references: Mapping[int, str]
    report: Report
    warnings: tuple[rules.Violation, ...] = ()


Take = Callable[[Kind, Any], Any]


def split(
    data: Mapping[str, Any], passed_on: Mapping[str, bool], is_leaf: Callable[[Kind, str], bool]
) -> tuple[dict[str, Any], list[Leaf]]:
    """Split what was written for an output into its leaves and its frame, in which marks stand for them.

    ``passed_on`` are the parameters that its layout does not look at, see ``passing``. Two outputs whose frames read
    the same are the same but for their leaves.
    """
    leaves: list[Leaf] = []

    def take(kind: Kind, text: Any) -> Any:
        if type(text) is not str or not is_leaf(kind, text):
            return text
        leaves.append(Leaf(kind, text))
        return f"{MARK}{len(leaves) - 1}"

    frame = dict(data)
    output, synthesis, given = data.get("output"), data.get("video_synthesis"), data.get("with")
    if isinstance(output, dict):
        frame["output"] = {name: take("object", value) if name == "object" else value for name, value in output.items()}
    elif output is not None:
        frame["output"] = take("object", output)
    if "user_data" in data:
        frame["user_data"] = take("user_data", data["user_data"])
    if isinstance(synthesis, dict) and isinstance(synthesis.get("splice_info"), list):
        frame["video_synthesis"] = {
            **synthesis,
            "splice_info": [
                _source(info, take) if isinstance(info, dict) else info for info in synthesis["splice_info"]
            ],
        }
    if isinstance(data.get("watermark"), list):
        frame["watermark"] = [_watermark(mark, take) for mark in data["watermark"]]
    if passed_on and isinstance(given, dict):
        frame["with"] = {
            name: _parameter(value, take, listed=passed_on[name]) if name in passed_on else value
            for name, value in given.items()
        }
    return frame, leaves


def _source(info: dict[str, Any], take: Take) -> dict[str, Any]:
    marked = dict(info)
    if "url" in info:
        marked["url"] = take("url", info["url"])
    if "output" in info:
        marked["output"] = take("output", info["output"])
    return marked


def _watermark(mark: Any, take: Take) -> Any:
    text = mark.get("text") if isinstance(mark, dict) else None
    if not isinstance(text, dict) or "text" not in text:
        return mark
    return {**mark, "text": {**text, "text": take("text", text["text"])}}


def _parameter(value: Any, take: Take, *, listed: bool) -> Any:
    if isinstance(value, list):
        return [_parameter(item, take, listed=False) if isinstance(item, dict | str) else item for item in value]
    if listed:
        return value
    return _source(value, take) if isinstance(value, dict) else take("url", value)


def ordinary(kind: Kind, text: Any) -> bool:
    """Tell whether a text needs no closer look: no rule has anything to say about it."""
    if type(text) is not str:
        return False
    if kind == "output":
        return True  # whether there is such an output is seen when all are known
    if not (0 < len(text) <= MAX_LENGTH and text.isprintable()) or text.isspace():
        return False
    if kind == "user_data":
        return text.isascii()
    if kind == "text":
        return next(named("text", text), None) is None
    if kind == "object":
        return text[0] not in "/." and "/." not in text
    return text[0] != "/" and "://" not in text and ".myqcloud.com/" not in text


def variant(key: str) -> Hashable:
    """Return what the rules look at in the key of a result: its suffix and its wildcards."""
    head, _, suffix = key.rpartition(".")
    return suffix if "${" not in head else (suffix, *(part.partition("}")[0] for part in head.split("${")[1:]))


class Drawn(NamedTuple):
    """An output's texts, to be filled into its stencil: how its request is made when somebody asks."""

    stencil: Stencil
    texts: tuple[str, ...]

    def request(self) -> JobRequest:
        """Return the job request."""
        return self.stencil.request(self.texts)

    def digest(self) -> str:
        """Return the digest of the request's content."""
        return self.stencil.digest(self.texts)

    def linked(self, keys: Mapping[int, str]) -> tuple[Drawn, tuple[str, ...]]:
        """Return this with the keys of sources that are other outputs, by their index, and all keys that are read."""
        filled = list(self.texts)
        for index, key in keys.items():
            filled[self.stencil.slots[index]] = key
        texts = tuple(filled)
        return Drawn(self.stencil, texts), self.stencil.sources(texts, linked=True)


@dataclass(frozen=True, slots=True)
class Stencil:
    """What outputs of one frame share: the request of the ``witness`` and its other fields, ``marks``.

    Texts are those of the leaves, in the order of ``kinds``. ``slots`` has for every source the place of its name among
    them, or -1 when it is the same in all outputs; ``object`` and ``user_data`` are such places too. ``reads`` are the
    places of all keys that are read, among the texts and then the ``constants``; ``known`` leaves out other outputs,
    whose keys are not known before ``links``. ``suffix`` stands for ``${ext}``. ``report`` is the witness's, with the
    ``warnings`` that all outputs share. ``silent`` are all keys that do not change, ``distinct`` is the digest of those
    outputs whose sources are all different.
    """

    witness: JobRequest
    kinds: tuple[Kind, ...]
    slots: tuple[int, ...]
    object: int
    user_data: int
    titles: tuple[int, ...]
    suffix: str
    constants: tuple[str, ...]
    reads: tuple[int, ...]
    known: tuple[int, ...]
    marks: Mapping[str, Any]
    labels: Mapping[str, str]
    report: Report
    warnings: tuple[rules.Violation, ...]
    silent: frozenset[str]
    marked: Mapping[str, Any]
    distinct: str

    @classmethod
    def learn(
        cls,
        draft: Draft,
        kinds: tuple[Kind, ...],
        texts: Sequence[str],
        frame: Mapping[str, Any],
        items: Sequence[Any],
    ) -> Stencil | None:
        """Return the stencil of a witness, or None when its texts have a part in more than names.

        ``frame`` has the witness's values and ``items`` its sources, with marks in the place of the leaves.
        """
        request, warnings = draft.output.request, draft.warnings
        if any(_OWN_TEXTS.intersection(map(str, warning.path)) for warning in warnings):
            return None  # it quotes the witness's text
        operation = request.operation[0]
        slots = tuple(map(_slot, items))
        if len(slots) != len(operation.video_synthesis.splice_info) or any(map(_is_marked_elsewhere, items)):
            return None
        marked = _marked(request, slots)
        constants, reads = _reads(operation, slots, len(kinds))
        stencil = cls(
            witness=request,
            kinds=kinds,
            slots=slots,
            object=_leaf("object", kinds),
            user_data=_leaf("user_data", kinds),
            titles=_titles(frame.get("watermark")),
            suffix=suffix(operation) or "${ext}",
            constants=constants,
            reads=reads,
            known=tuple(place for place in reads if place >= len(kinds) or kinds[place] == "url"),
            marks={name: getattr(draft.output, name) for name in _MARKS},
            labels=draft.output.labels,
            report=draft.report,
            warnings=warnings,
            silent=frozenset(key for key in sources_of(marked) if not key.startswith(MARK)),
            marked=marked,
            distinct=content_digest(marked),
        )
        witnessed = tuple(PLACEHOLDER if kind == "output" else text for kind, text in zip(kinds, texts, strict=True))
        return stencil if stencil.request(witnessed) == request else None

    def output(
        self,
        address: str,
        texts: tuple[str, ...],
        declared_at: Position | None,
        row: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Output:
        """Return the output of these texts, all of them ordinary; ``labels`` when they are not the witness's."""
        key = self.witness.operation[0].output.object if self.object < 0 else texts[self.object]
        return Output.lazy(
            Drawn(self, texts),
            address=address,
            object=key.replace("${ext}", self.suffix),
            sources=self.sources(texts),
            upstream=(),
            labels=self.labels if labels is None else labels,
            declared_at=declared_at,
            row=row,
            **self.marks,
        )

    def references(self, texts: Sequence[str]) -> Mapping[int, str]:
        """Return the addresses of those sources that are other outputs, by the index of the source."""
        if self.reads == self.known:
            return _NONE
        return {
            index: texts[slot] for index, slot in enumerate(self.slots) if slot >= 0 and self.kinds[slot] == "output"
        }

    def sources(self, texts: tuple[str, ...], *, linked: bool = False) -> tuple[str, ...]:
        """Return the keys that are read, each once; without ``linked`` those of other outputs are not known yet."""
        names = texts + self.constants
        return tuple(dict.fromkeys([names[place] for place in (self.reads if linked else self.known)]))

    def request(self, texts: Sequence[str]) -> JobRequest:
        """Return the request with these texts filled in."""
        operation = self.witness.operation[0]
        synthesis = operation.video_synthesis
        infos = tuple(
            info if slot < 0 else info.model_copy(update={"url": texts[slot]})
            for info, slot in zip(synthesis.splice_info, self.slots, strict=True)
        )
        update: dict[str, Any] = {"video_synthesis": synthesis.model_copy(update={"splice_info": infos})}
        if self.object >= 0:
            update["output"] = operation.output.model_copy(update={"object": texts[self.object]})
        if self.user_data >= 0:
            update["user_data"] = texts[self.user_data]
        if self.titles and operation.watermark is not None:
            update["watermark"] = tuple(
                _titled(mark, texts[place]) if place >= 0 else mark
                for mark, place in zip(operation.watermark, self.titles, strict=True)
            )
        return self.witness.model_copy(update={"operation": (operation.model_copy(update=update),)})

    def digest(self, texts: Sequence[str]) -> str:
        """Return the digest of the content with these texts.

        What a source is called is not in it, only which sources are the same one: as a rule all are different.
        """
        names = [texts[slot] for slot in set(self.slots) if slot >= 0]
        if len(set(names)) < len(names) or not self.silent.isdisjoint(names):
            return content_digest(self.request(texts).plain())
        if not self.titles:
            return self.distinct
        operation = self.marked["operation"][0]
        marks = [
            {**mark, "text": {**mark["text"], "text": texts[place]}} if place >= 0 else mark
            for mark, place in zip(operation["watermark"], self.titles, strict=True)
        ]
        return content_digest({"operation": [{**operation, "watermark": marks}]})


def _reads(operation: Operation, slots: Sequence[int], leaves: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the keys that are the same in all outputs, and the places of all keys among the leaves and then those."""
    keys = [(slot, info.url) for slot, info in zip(slots, operation.video_synthesis.splice_info, strict=True)]
    keys += [(-1, url) for _, url in beside(operation)]
    constants = list(dict.fromkeys(key for slot, key in keys if slot < 0))
    reads = [slot if slot >= 0 else leaves + constants.index(key) for slot, key in keys]
    return tuple(constants), tuple(dict.fromkeys(reads))


def _leaf(kind: Kind, kinds: Sequence[Kind]) -> int:
    return kinds.index(kind) if kind in kinds else -1


def _slot(item: Any) -> int:
    """Return the leaf that names a source."""
    named = item.get("url") or item.get("output")
    return int(named[1:]) if isinstance(named, str) and named.startswith(MARK) else -1


def _titles(marks: Any) -> tuple[int, ...]:
    """Return the leaf of every watermark's text, or -1; nothing when there are none."""
    texts = [_watermark_text(mark) for mark in marks] if isinstance(marks, list) else []
    places = tuple(int(text[1:]) if isinstance(text, str) and text.startswith(MARK) else -1 for text in texts)
    return places if any(place >= 0 for place in places) else ()


def _watermark_text(mark: Any) -> Any:
    text = mark.get("text") if isinstance(mark, dict) else None
    return text.get("text") if isinstance(text, dict) else None


def _titled(mark: Watermark, title: str) -> Watermark:
    assert mark.text is not None  # the witness had one
    return mark.model_copy(update={"text": mark.text.model_copy(update={"text": title})})


def _marked(request: JobRequest, slots: Sequence[int]) -> dict[str, Any]:
    """Return a request as plain data with marks in the place of the leaves."""
    plain = request.plain()
    for info, slot in zip(plain["operation"][0]["video_synthesis"]["splice_info"], slots, strict=True):
        if slot >= 0:
            info["url"] = f"{MARK}{slot}"
    return plain


def _is_marked_elsewhere(item: Any) -> bool:
    return any(MARK in str(value) for name, value in item.items() if name not in ("url", "output"))
