"""The sources of one output: placed by a layout or by hand, each a key of the project's bucket or another output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.api import rules
from reconciler.api.messages import Operation
from reconciler.api.transcode import Transcode
from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError, Names
from reconciler.layout import Layout, Layouts
from reconciler.resolve.references import BadUrlError, known_key, object_key
from reconciler.resolve.report import SPLICE_INFO, Report, Stop
from reconciler.wire import with_picture, with_sounds
from reconciler.yaml import Path

PLACEHOLDER: Final = "output"
"""Stands for the key of another output until all outputs are known."""


@dataclass
class Sources:
    """Places the sources of one output and names them by their keys.

    ``references`` are the addresses of those that are other outputs, by the index of the source.
    """

    layouts: Layouts
    report: Report
    bucket: str
    region: str
    references: dict[int, str] = field(default_factory=dict, init=False)

    def place(self, operation: Mapping[str, Any], values: Mapping[str, Any], names: Names) -> Any:
        """Return ``video_synthesis`` with every source placed. Raises Stop, when why has been reported."""
        synthesis = operation.get("video_synthesis")
        if values.get("layout") is not None:
            synthesis = synthesis if isinstance(synthesis, dict) else {}
            items: Any = self._expand(values, operation.get("transcode"), names)
        elif synthesis is not None and not isinstance(synthesis, dict):
            return synthesis  # the typed check says it
        else:
            items = synthesis.get("splice_info") if synthesis else None
        if items is None:
            advice = "list them under `video_synthesis.splice_info`, or name a `layout`"
            self.report.error(("video_synthesis",), "the output has no sources", advice)
            raise Stop
        placed = [self._source(*item) for item in enumerate(items)] if isinstance(items, list) else items
        return {**synthesis, "splice_info": placed} if synthesis else {"splice_info": placed}

    def keys(self, operation: Operation) -> tuple[str, ...]:
        """Return the keys that the job reads, each once; other outputs are not among them yet."""
        spliced = operation.video_synthesis.splice_info
        found = {info.url: None for index, info in enumerate(spliced) if index not in self.references}
        found.update((self._key(url, path), None) for path, url in beside(operation))
        return tuple(found)

    def own(self, operation: Operation) -> Operation:
        """Return the operation with sounds and pictures named by their keys, not by URLs."""
        if not any("://" in url for _, url in beside(operation)):
            return operation
        update: dict[str, Any] = {}
        if operation.transcode is not None:
            update["transcode"] = with_sounds(operation.transcode, self._quiet)
        if operation.watermark is not None:
            update["watermark"] = tuple(with_picture(mark, self._quiet) for mark in operation.watermark)
        return operation.model_copy(update=update)

    def _source(self, index: int, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        path = (*SPLICE_INFO, index)
        output, url = item.get("output"), item.get("url")
        if output is None and isinstance(url, str):
            key = self._key(url, (*path, "url"))
            return item if key == url else {**item, "url": key}
        if output is None and url is not None:
            return item  # the typed check says it
        if output is None:
            self.report.error(path, "a source needs `url`, or `output` for another output", "write url: input/name.mp4")
        elif url is not None:
            self.report.error((*path, "output"), "`url` and `output` exclude each other", "leave one of the two out")
        elif not isinstance(output, str):
            self.report.error((*path, "output"), "`output` must be the address of an output")
        else:
            self.references[index] = output
        return {**{key: value for key, value in item.items() if key != "output"}, "url": PLACEHOLDER}

    def _key(self, url: str, path: Path) -> str:
        try:
            return object_key(url, self.bucket, self.region)
        except BadUrlError as error:
            self.report.error(path, error.summary, error.advice)
            return PLACEHOLDER

    def _quiet(self, url: str) -> str:
        return known_key(url, self.bucket, self.region)

    def _expand(self, values: Mapping[str, Any], transcode: Any, names: Names) -> list[Any]:
        layout, given = self._layout(values)
        canvas = self._canvas(transcode)
        try:
            return layout.expand({"each": {}, **names, **given, "canvas": canvas}, self.report.address)
        except ManifestError as error:
            self.report.located(error)
            raise Stop from None

    def _layout(self, values: Mapping[str, Any]) -> tuple[Layout, dict[str, Any]]:
        name, given = values["layout"], values.get("with")
        if not isinstance(name, str):
            self.report.error(("layout",), "`layout` must be the name of a layout")
            raise Stop
        if given is not None and not isinstance(given, dict):
            self.report.error(("with",), "`with` must be a mapping of the layout's parameters")
            raise Stop
        self.report.layout = name
        try:
            layout = self.layouts.get(name)
        except ExpressionError as error:
            self.report.error(("layout",), error.summary, error.advice)
            raise Stop from None
        except ManifestError as error:
            self.report.located(error)
            raise Stop from None
        for parameter in given or ():
            if (problem := layout.parameter_problem(parameter)) is not None:
                self.report.error(("with", parameter), *problem)
        self.report.stop_if_failed()
        return layout, given or {}

    def _canvas(self, transcode: Any) -> dict[str, int]:
        """Return the size of the canvas, without which no layout can be rendered."""
        if not isinstance(transcode, Transcode):
            advice = "write `transcode` or `transcode_template` with video.width and video.height"
            self.report.error(("layout",), "a layout needs the size of the canvas, which is not known here", advice)
            raise Stop
        video = transcode.video
        if video is None or video.width is None or video.height is None:
            self.report.rules(rules.check_transcode(transcode), ("transcode",))
            raise Stop
        return {"width": video.width, "height": video.height}


def beside(operation: Operation) -> Iterator[tuple[Path, str]]:
    """Yield the sounds and pictures that act: a template id beats what is inline, audio_mix beats audio_mix_array."""
    transcode = operation.transcode if operation.transcode_template_id is None else None
    if transcode is not None and transcode.audio_mix is not None:
        yield ("transcode", "audio_mix", "audio_source"), transcode.audio_mix.audio_source
    elif transcode is not None and transcode.audio_mix_array is not None:
        for index, mix in enumerate(transcode.audio_mix_array):
            yield ("transcode", "audio_mix_array", index, "audio_source"), mix.audio_source
    if operation.watermark is not None and operation.watermark_template_id is None:
        for index, mark in enumerate(operation.watermark):
            if mark.image is not None and mark.type.strip().lower() == "image":
                yield ("watermark", index, "image", "url"), mark.image.url


def suffix(operation: Operation) -> str | None:
    """Return what stands for ``${ext}``, or None when a template on the service decides it."""
    transcode = operation.transcode if operation.transcode_template_id is None else None
    container = transcode.container if transcode is not None else None
    return None if container is None else rules.extension(container.format)
