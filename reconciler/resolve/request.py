"""One instance of an entry to one job request: values computed, templates put in, types and rules checked.

Whose object a source is, is found out afterwards, when all outputs are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from reconciler import schema
from reconciler.api import rules
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.rules import USER_DATA_LENGTH
from reconciler.api.transcode import Transcode
from reconciler.api.user_data import OWN_USER_DATA
from reconciler.expression import ExpressionError, Names
from reconciler.layout import Layouts
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.instances import ROW_KEYS, Instance
from reconciler.resolve.marks import MarkReader
from reconciler.resolve.problems import Problems
from reconciler.resolve.report import Report, Stop
from reconciler.resolve.sources import Sources, suffix
from reconciler.resolve.stencil import Draft
from reconciler.resolve.templates import TRANSCODE, WATERMARK, Templates, address_of, find, validated
from reconciler.resolve.values import Compiler, Failures
from reconciler.state import Output


@dataclass(frozen=True)
class Bench:
    """What all outputs of a project are built with."""

    layouts: Layouts
    templates: Templates
    compiler: Compiler
    problems: Problems
    bucket: str
    region: str
    _transcodes: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def transcode(self, data: Any) -> Any:
        """Return encoding parameters as a node, or as they are when they are wrong: the typed check says it.

        Nodes of a manifest are read once however many outputs share them; one that was made for a row is not for here.
        """
        known = self._transcodes.get(id(data))
        if known is None or known[0] is not data:
            known = self._transcodes[id(data)] = (data, _typed_transcode(data))
        return known[1]


def _typed_transcode(data: Any) -> Any:
    try:
        return data if isinstance(data, Transcode) else validated(Transcode, data)
    except ValidationError:
        return data


class Builder:
    """Builds the outputs of one entry, each for itself and in full."""

    def __init__(self, bench: Bench, declaration: Declaration) -> None:
        self.declaration = declaration
        self.declared_at = declaration.manifest.declared_at(declaration.name)
        self._bench = bench
        self._failures: Failures = []
        self.values = {
            key: bench.compiler.value(value, (key,), self._failures)
            for key, value in declaration.data.items()
            if key not in ROW_KEYS
        }
        self._marks = MarkReader(self.values)

    def build(self, instance: Instance) -> Draft | None:
        """Return one output, or None when it is wrong; then everything wrong with it has been reported."""
        report = Report(self._bench.problems, self.declaration, instance.address)
        try:
            return self._draft(instance, report)
        except Stop:
            return None

    def again(self, instance: Instance) -> JobRequest:
        """Return the request of an output that was built before; nothing is reported anew."""
        return self._draft(instance, Report(Problems(), self.declaration, instance.address)).output.request

    def _draft(self, instance: Instance, report: Report) -> Draft:
        values = self._evaluate(instance.names, report)
        operation = {key: value for key, value in values.items() if key in schema.OPERATION_KEYS}
        self._put_templates(operation, values, report)
        self._place_output(operation, report)
        sources = Sources(self._bench.layouts, report, self._bench.bucket, self._bench.region)
        operation["video_synthesis"] = sources.place(operation, values, instance.names)
        around = {key: value for key, value in values.items() if key in schema.REQUEST_KEYS}
        request = _typed({**around, "operation": [operation]}, report)
        marks = self._marks.read(values, report)
        keys = sources.keys(request.operation[0])
        violations = rules.check_request(request)
        report.rules(violations)
        _leave_room(request.operation[0].user_data, report)
        report.stop_if_failed()
        job = sources.own(request.operation[0])
        if job is not request.operation[0]:
            request = request.model_copy(update={"operation": (job,)})
        output = Output(
            address=instance.address,
            request=request,
            object=_object(job, report),
            sources=keys,
            protect=bool(marks.protect),
            adopt=bool(marks.adopt),
            ignore_changes=marks.ignore_changes or (),
            templates=_named_templates(values),
            declared_at=self.declared_at,
            labels=marks.labels or {},
            row=instance.row,
        )
        return Draft(output, sources.references, report, violations)

    def _evaluate(self, names: Names, report: Report) -> dict[str, Any]:
        failures = list(self._failures)
        values = {key: value.get(names, failures) for key, value in self.values.items()}
        for path, error in failures:
            report.error(path, error.summary, error.advice)
        report.stop_if_failed()
        return values

    def _put_templates(self, operation: dict[str, Any], values: Mapping[str, Any], report: Report) -> None:
        """Put the content of the templates that the entry names in the place of their names."""
        templates = self._bench.templates
        if (name := values.get("transcode_template")) is not None:
            try:
                report.transcode = find(templates.transcode, name, TRANSCODE)
                operation["transcode"] = report.transcode.node
            except ExpressionError as error:
                report.error(("transcode_template",), error.summary, error.advice)
        if (names := values.get("watermark_template")) is not None:
            try:
                listed = names if isinstance(names, list) else [names]
                report.watermarks = [find(templates.watermark, name, WATERMARK) for name in listed]
                operation["watermark"] = [template.node for template in report.watermarks]
            except ExpressionError as error:
                report.error(("watermark_template",), error.summary, error.advice)
        report.stop_if_failed()
        if any(template is not None and template.node is None for template in (report.transcode, *report.watermarks)):
            raise Stop  # what is wrong is reported where the template stands
        if "transcode" in operation:
            written = self.values.get("transcode")
            read = _typed_transcode if written is not None and written.build is not None else self._bench.transcode
            operation["transcode"] = read(operation["transcode"])

    def _place_output(self, operation: dict[str, Any], report: Report) -> None:
        """Leave out bucket and region of the output, which are the project's."""
        output = operation.get("output")
        if output is None:
            advice = "write the key that the video is stored under, such as output: output/name.${ext}"
            report.error(("output",), "`output` is missing", advice)
            raise Stop
        if not isinstance(output, dict) or not output.keys() & {"bucket", "region"}:
            return
        for key, own in (("bucket", self._bench.bucket), ("region", self._bench.region)):
            if output.get(key) not in (None, own):
                summary = f"the {key} `{output[key]}` is not the project's, `{own}`"
                report.error(("output", key), summary, "leave it out: the project decides it")
        operation["output"] = {key: value for key, value in output.items() if key not in ("bucket", "region")}


def _named_templates(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of the declared templates that an entry names."""
    transcode, marks = values.get("transcode_template"), values.get("watermark_template")
    named = [] if transcode is None else [address_of(TRANSCODE, transcode)]
    listed = marks if isinstance(marks, list) else [] if marks is None else [marks]
    return (*named, *(address_of(WATERMARK, name) for name in listed))


def _typed(data: Mapping[str, Any], report: Report) -> JobRequest:
    try:
        return validated(JobRequest, data)
    except ValidationError as error:
        report.types(JobRequest, error)
        raise Stop from None


def _leave_room(user_data: str | None, report: Report) -> None:
    """Refuse user data that leaves no room for the token that finds a job again; apply sends it behind the text."""
    if user_data is not None and OWN_USER_DATA < len(user_data) <= USER_DATA_LENGTH:
        summary = f"{len(user_data)} characters of `user_data` leave no room for the token that finds the job again"
        report.error(("user_data",), summary, f"write at most {OWN_USER_DATA}")


def _object(operation: Operation, report: Report) -> str:
    """Return the key of the result with its suffix; the id of the job is not known before there is one."""
    key = operation.output.object
    if (ext := suffix(operation)) is not None:
        return rules.expand_object(key, ext=ext)
    if "${ext}" in key:
        advice = "write the suffix"
        report.error(("output", "object"), "${ext} is not known: a template on the service decides it", advice)
        raise Stop
    return key
