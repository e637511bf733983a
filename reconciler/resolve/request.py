"""One instance of an entry to one job request: sources placed, templates put in, types and rules checked.

Whose object a source is, is found out afterwards, when all outputs are known: ``references``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reconciler import schema
from reconciler.api import rules
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.node import Bool, Node, Text
from reconciler.api.transcode import Transcode
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError, Names
from reconciler.layout import Layouts
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.instances import Instance
from reconciler.resolve.problems import Problems, type_problems
from reconciler.resolve.references import BadUrlError, object_key
from reconciler.resolve.templates import TRANSCODE, WATERMARK, Template, Templates, find, validated
from reconciler.resolve.values import Compiler, Failures, Value
from reconciler.state import Output
from reconciler.yaml import Path

_PLACEHOLDER: Final = "output"
_SPLICE_INFO: Final[Path] = ("video_synthesis", "splice_info")
_IN_OPERATION: Final[Path] = ("operation", 0)


class _Marks(Node):
    """What an entry says about itself that no request holds."""

    protect: Bool | None = None
    adopt: Bool | None = None
    ignore_changes: tuple[Text, ...] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An output whose sources from other outputs, by the index of the source, are not filled in yet."""

    output: Output
    declaration: Declaration
    references: Mapping[int, str]


@dataclass(frozen=True)
class Bench:
    """What all entries are built with."""

    layouts: Layouts
    templates: Templates
    compiler: Compiler
    problems: Problems
    bucket: str
    region: str


class Stop(Exception):  # noqa: N818 - no error of the program: the row has been reported and is left out
    """A row cannot be built; why has been reported."""


class Builder:
    """Builds the outputs of one entry."""

    def __init__(self, bench: Bench, declaration: Declaration) -> None:
        self.bench = bench
        self.declaration = declaration
        self.declared_at = declaration.manifest.declared_at(declaration.name)
        self._failures: Failures = []
        self._values = {
            key: bench.compiler.value(value, (key,), self._failures)
            for key, value in declaration.data.items()
            if key not in ("for_each", "key")
        }
        self._share_transcode()
        self._operation_keys = [key for key in self._values if key in schema.OPERATION_KEYS]
        self._request_keys = [key for key in self._values if key in schema.REQUEST_KEYS]
        self._shared_marks: _Marks | None = None
        self._paths: dict[Path, None] = {}

    def build(self, instance: Instance) -> Draft | None:
        """Return one output, or None when it is wrong; then everything wrong with it has been reported."""
        row = _Row(self, instance)
        try:
            return row.draft()
        except Stop:
            return None

    def values(self, names: Names) -> tuple[dict[str, Any], Failures]:
        """Return the entry's values for a row, and what failed."""
        failures = list(self._failures)
        return {key: value.get(names, failures) for key, value in self._values.items()}, failures

    def operation(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of the values that is the operation."""
        return {key: values[key] for key in self._operation_keys}

    def request(self, values: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole request."""
        return {**{key: values[key] for key in self._request_keys}, "operation": [operation]}

    def marks(self, values: Mapping[str, Any]) -> _Marks:
        """Return what the entry says about itself; read once when it is the same for every row."""
        if self._shared_marks is not None:
            return self._shared_marks
        keys = [key for key in _Marks.model_fields if key in self._values]
        marks = validated(_Marks, {key: values[key] for key in keys})
        if all(self._values[key].build is None for key in keys):
            self._shared_marks = marks
        return marks

    def _share_transcode(self) -> None:
        """Read parameters that are the same for every row once; what is wrong with them is found in the rows."""
        value = self._values.get("transcode")
        if value is not None and value.build is None:
            self._values["transcode"] = Value(typed_transcode(value.constant))


def typed_transcode(data: Any) -> Any:
    """Return encoding parameters as a node, or as they are when they are wrong: the whole request is checked later."""
    try:
        return data if isinstance(data, Transcode) else validated(Transcode, data)
    except ValidationError:
        return data


class _Row:
    """One output in the making."""

    def __init__(self, builder: Builder, instance: Instance) -> None:
        self.builder = builder
        self.bench = builder.bench
        self.declaration = builder.declaration
        self.address = instance.address
        self.names = instance.names
        self.transcode: Template[Transcode] | None = None
        self.watermarks: Sequence[Template[Any]] = ()
        self.layout: str | None = None
        self.failed = False

    def draft(self) -> Draft:
        """Build the output. Raises Stop."""
        values, failures = self.builder.values(self.names)
        for path, error in failures:
            self.report("error", path, error.summary, error.advice)
        self.stop_if_failed()
        operation = self.builder.operation(values)
        self._put_templates(operation, values)
        self._place_output(operation)
        references = self._put_sources(operation, values)
        request = self._typed(self.builder.request(values, operation))
        marks = self._marks(values)
        sources = self._sources(request.operation[0], references)
        self._check(request)
        self.stop_if_failed()
        return Draft(self._output(request, marks, sources), self.declaration, references)

    def stop_if_failed(self) -> None:
        """Leave the row out when something in it has been reported as an error."""
        if self.failed:
            raise Stop

    def report(self, severity: Severity, path: Path, summary: str, advice: str | None = None, *, kind: str = "") -> None:
        """Report a problem at a node of the entry."""
        self.failed = self.failed or severity == "error"
        self.bench.problems.row(
            (self.declaration.manifest.source, self.declaration.name, severity, path, kind),
            self.address,
            summary,
            lambda: self._diagnostic(severity, path, summary, advice),
        )

    def _diagnostic(self, severity: Severity, path: Path, summary: str, advice: str | None) -> Diagnostic:
        on_key = summary.startswith("unknown key")
        if path[:1] == ("transcode",) and self.transcode is not None:
            at = (*self.transcode.path, *path[1:])
            return self.transcode.manifest.diagnostic(severity, at, summary, advice, on_key=on_key)
        if path[:1] == ("watermark",) and self.watermarks and len(path) > 1 and isinstance(path[1], int):
            template = self.watermarks[path[1]]
            return template.manifest.diagnostic(severity, (*template.path, *path[2:]), summary, advice, on_key=on_key)
        if self.layout is not None and path[:2] == _SPLICE_INFO:
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[1:])[1:]
            told = f"{summary} (`{where}` of the layout `{self.layout}`)"
            return self.declaration.diagnostic(severity, ("layout",), told, advice)
        return self.declaration.diagnostic(severity, path, summary, advice, on_key=on_key)

    def _put_templates(self, operation: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Put the content of the templates that the entry names in the place of their names."""
        try:
            if (name := values.get("transcode_template")) is not None:
                self.transcode = find(self.bench.templates.transcode, name, TRANSCODE)
                operation["transcode"] = self.transcode.node
        except ExpressionError as error:
            self.report("error", ("transcode_template",), error.summary, error.advice)
        try:
            if (names := values.get("watermark_template")) is not None:
                listed = names if isinstance(names, list) else [names]
                self.watermarks = [find(self.bench.templates.watermark, name, WATERMARK) for name in listed]
                operation["watermark"] = [template.node for template in self.watermarks]
        except ExpressionError as error:
            self.report("error", ("watermark_template",), error.summary, error.advice)
        if any(t is not None and t.node is None for t in (self.transcode, *self.watermarks)):
            raise Stop  # what is wrong is reported where the template stands
        self.stop_if_failed()
        if "transcode" in operation:
            operation["transcode"] = typed_transcode(operation["transcode"])

    def _place_output(self, operation: dict[str, Any]) -> None:
        """Leave out bucket and region of the output, which are the project's."""
        output = operation.get("output")
        if output is None:
            advice = "write the key that the video is stored under, such as output: output/name.${ext}"
            self.report("error", (), "`output` is missing", advice, kind="output")
            raise Stop
        if not isinstance(output, dict):
            return
        for key, own in (("bucket", self.bench.bucket), ("region", self.bench.region)):
            if output.get(key) not in (None, own):
                summary = f"the {key} `{output[key]}` is not the project's, `{own}`"
                self.report("error", ("output", key), summary, "leave it out: the project decides it")
        if "bucket" in output or "region" in output:
            operation["output"] = {key: value for key, value in output.items() if key not in ("bucket", "region")}

    def _put_sources(self, operation: dict[str, Any], values: Mapping[str, Any]) -> dict[int, str]:
        """Place the sources, by the layout or as they are written; return those that are other outputs."""
        synthesis = operation.get("video_synthesis")
        if values.get("layout") is not None:
            items: Any = self._expand(values, operation.get("transcode"))
            synthesis = synthesis if isinstance(synthesis, dict) else {}
        elif synthesis is None or (isinstance(synthesis, dict) and synthesis.get("splice_info") is None):
            advice = "list them under `video_synthesis.splice_info`, or name a `layout`"
            self.report("error", ("video_synthesis",), "the output has no sources", advice)
            raise Stop
        else:
            items = synthesis.get("splice_info") if isinstance(synthesis, dict) else None
        if not isinstance(items, list) or not isinstance(synthesis, dict):
            return {}  # the typed check says it
        references: dict[int, str] = {}
        placed = [self._source(index, item, references) for index, item in enumerate(items)]
        operation["video_synthesis"] = {**synthesis, "splice_info": placed}
        return references

    def _source(self, index: int, item: Any, references: dict[int, str]) -> Any:
        if not isinstance(item, dict):
            return item
        path = (*_SPLICE_INFO, index)
        output = item.get("output")
        if output is None:
            return self._with_key(item, path)
        if item.get("url") is not None:
            summary = "`url` and `output` exclude each other"
            self.report("error", (*path, "output"), summary, "leave one of the two out")
        elif not isinstance(output, str):
            self.report("error", (*path, "output"), "`output` must be an address")
        else:
            references[index] = output
        return {"url": _PLACEHOLDER, **{key: value for key, value in item.items() if key not in ("url", "output")}}

    def _with_key(self, item: dict[str, Any], path: Path) -> dict[str, Any]:
        url = item.get("url")
        if url is None:
            summary = "a source needs `url`, or `output` for another output"
            self.report("error", path, summary, "write `url: input/name.mp4`")
            return {**item, "url": _PLACEHOLDER}
        if isinstance(url, str):
            key = self._key(url, (*path, "url"))
            return item if key == url else {**item, "url": key}
        return item

    def _key(self, url: str, path: Path) -> str:
        try:
            return object_key(url, self.bench.bucket, self.bench.region)
        except BadUrlError as error:
            self.report("error", path, error.summary, error.advice)
            return _PLACEHOLDER

    def _expand(self, values: Mapping[str, Any], transcode: Any) -> list[Any]:
        name, given = values["layout"], values.get("with") or {}
        if not isinstance(name, str) or not isinstance(given, dict):
            wrong = "with" if isinstance(name, str) else "layout"
            wanted = "a mapping" if wrong == "with" else "the name of a layout"
            self.report("error", (wrong,), f"`{wrong}` must be {wanted}")
            raise Stop
        canvas = self._canvas(transcode)
        names = {"each": {}, **self.names, "canvas": canvas, **given}
        try:
            layout = self.bench.layouts.get(name)
            self.layout = name
            if wrong_name := layout.check_parameters(given):
                summary = f"the layout `{name}` has no parameter `{wrong_name[0]}`"
                self.report("error", ("with", wrong_name[0]), summary, wrong_name[1])
                raise Stop
            return layout.expand(names, self.address)
        except ExpressionError as error:
            self.report("error", ("layout",), error.summary, error.advice)
        except ManifestError as error:
            for problem in error.diagnostics:
                self.bench.problems.row(
                    (problem.position, problem.severity), self.address, problem.summary, lambda p=problem: p
                )
        raise Stop

    def _canvas(self, transcode: Any) -> dict[str, int]:
        """Return the size of the canvas. Without one no layout can be rendered: say so and leave the row out."""
        if not isinstance(transcode, Transcode):
            advice = "write `transcode` or `transcode_template` with video.width and video.height"
            if transcode is None:
                self.report("error", ("layout",), "the layout needs the size of the canvas, which is not known", advice)
            else:
                self._types(Transcode, transcode, ("transcode",))
            raise Stop
        video = transcode.video
        if video is None or video.width is None or video.height is None:
            self._violations(rules.check_transcode(transcode), ("transcode",))
            self.failed = True
            raise Stop
        return {"width": video.width, "height": video.height}

    def _typed(self, data: Mapping[str, Any]) -> JobRequest:
        try:
            return validated(JobRequest, data)
        except ValidationError as error:
            self._type_problems(JobRequest, error, ())
            self.failed = True
            raise Stop from None

    def _types(self, model: type[BaseModel], data: Any, prefix: Path) -> None:
        try:
            model.model_validate(data, extra="forbid")
        except ValidationError as error:
            self._type_problems(model, error, prefix)

    def _type_problems(self, model: type[BaseModel], error: ValidationError, prefix: Path) -> None:
        for problem in type_problems(model, error.errors(include_url=False)):
            path = (*prefix, *_inside(problem.path))
            if problem.unknown and self.layout is None and self.declaration.has(path):
                continue  # the manifest has reported it
            self.report("error", path, problem.summary, problem.advice, kind="type")

    def _marks(self, values: Mapping[str, Any]) -> _Marks:
        try:
            marks = self.builder.marks(values)
        except ValidationError as error:
            self._type_problems(_Marks, error, ())
            return _Marks()
        for index, path in enumerate(marks.ignore_changes or ()):
            if problem := _unknown_path(path):
                self.report("error", ("ignore_changes", index), *problem)
        return marks

    def _sources(self, operation: Operation, references: Mapping[int, str]) -> tuple[str, ...]:
        """Return the keys that the job reads, each once; sources from other outputs are filled in later."""
        spliced = operation.video_synthesis.splice_info
        keys = {info.url: None for index, info in enumerate(spliced) if index not in references}
        for path, url in _other_sources(operation):
            keys[self._key(url, path)] = None
        return tuple(keys)

    def _check(self, request: JobRequest) -> None:
        violations = rules.check_request(request)
        if violations:
            self._violations(((v.severity, v.path, v.message, v.advice) for v in violations), ())

    def _violations(self, violations: Iterable[Any], prefix: Path) -> None:
        for violation in violations:
            severity, at, message, advice = (
                violation
                if isinstance(violation, tuple)
                else (violation.severity, violation.path, violation.message, violation.advice)
            )
            path = (*prefix, *_inside(at))
            if not self._reported(path, message):
                self.report(severity, path, message, advice, kind="rule")

    def _reported(self, path: Path, message: str) -> bool:
        """Tell whether the check of a template has already said it."""
        if path[:1] == ("transcode",) and self.transcode is not None:
            return (path[1:], message) in self.transcode.reported
        if path[:1] == ("watermark",) and self.watermarks and len(path) > 1 and isinstance(path[1], int):
            return (path[2:], message) in self.watermarks[path[1]].reported
        return False

    def _output(self, request: JobRequest, marks: _Marks, sources: tuple[str, ...]) -> Output:
        return Output(
            address=self.address,
            request=request,
            object=_object(request.operation[0]),
            sources=sources,
            protect=bool(marks.protect),
            adopt=bool(marks.adopt),
            ignore_changes=marks.ignore_changes or (),
            declared_at=self.builder.declared_at,
        )


def _inside(path: Path) -> Path:
    return path[2:] if path[:2] == _IN_OPERATION else path


def _other_sources(operation: Operation) -> Iterator[tuple[Path, str]]:
    """Yield the sounds and pictures that act: a template id beats what is inline, audio_mix beats audio_mix_array."""
    transcode = operation.transcode if operation.transcode_template_id is None else None
    if transcode is not None and transcode.audio_mix is not None:
        yield ("transcode", "audio_mix", "audio_source"), transcode.audio_mix.audio_source
    elif transcode is not None and transcode.audio_mix_array is not None:
        for index, mix in enumerate(transcode.audio_mix_array):
            yield ("transcode", "audio_mix_array", index, "audio_source"), mix.audio_source
    if operation.watermark is not None and operation.watermark_template_id is None:
        for index, mark in enumerate(operation.watermark):
            if mark.image is not None and mark.type.lower() == "image":
                yield ("watermark", index, "image", "url"), mark.image.url


def _object(operation: Operation) -> str:
    """Return the key of the result with its suffix; the id of the job is not known before there is one."""
    transcode = operation.transcode if operation.transcode_template_id is None else None
    container = transcode.container if transcode else None
    ext = rules.extension(container.format) if container else None
    return rules.expand_object(operation.output.object, ext=ext)


def _unknown_path(path: str) -> tuple[str, str | None] | None:
    """Return what is wrong with a path of ``ignore_changes`` such as ``video_synthesis.splice_info[1].x``."""
    model: type[BaseModel] | None = schema.Entry
    for part in path.split("."):
        known = schema.children(model) if model else {}
        name = part.partition("[")[0]
        if name not in known:
            return f"`{path}` names no node: there is no `{name}`", schema.key_advice(name, known)
        model = known[name].model
    return None
