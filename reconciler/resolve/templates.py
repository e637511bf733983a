"""The transcode and watermark templates that manifests declare: checked once, then put into the outputs that name them.

Templates are shared between the manifests of a project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from reconciler.api import rules
from reconciler.api import templates as api
from reconciler.api.node import Node
from reconciler.api.transcode import Transcode
from reconciler.api.violations import NAME_LENGTH
from reconciler.api.watermark import Watermark
from reconciler.diagnostics import did_you_mean
from reconciler.expression import ExpressionError, known_words
from reconciler.manifest import Manifest
from reconciler.resolve.problems import Problems, type_problems
from reconciler.resolve.references import known_key
from reconciler.resolve.values import Compiler, Failures
from reconciler.state import DeclaredTemplate
from reconciler.wire import object_url, with_picture, with_sounds
from reconciler.yaml import Path

T = TypeVar("T", bound=Node)

TRANSCODE: Final = "transcode_templates"
WATERMARK: Final = "watermark_templates"


@dataclass(frozen=True, slots=True)
class Template(Generic[T]):
    """A declared template; ``node`` is None when it is broken. ``reported`` is what its own check has said."""

    manifest: Manifest
    path: Path
    node: T | None
    reported: frozenset[tuple[Path, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of a project by name."""

    transcode: Mapping[str, Template[Transcode]]
    watermark: Mapping[str, Template[Watermark]]

    @classmethod
    def read(cls, manifests: Sequence[Manifest], compiler: Compiler, problems: Problems) -> Templates:
        """Evaluate and check every template; two of one name are an error."""
        reader = _Reader(compiler, problems)
        return cls(
            dict(reader.read(_declared(manifests, TRANSCODE), Transcode, rules.check_transcode)),
            dict(reader.read(_declared(manifests, WATERMARK), Watermark, rules.check_watermark)),
        )


def kept(templates: Templates, bucket: str, region: str) -> dict[str, DeclaredTemplate]:
    """Return the templates as the service is to keep them, by address."""

    def url(written: str) -> str:
        key = known_key(written, bucket, region)
        return key if "://" in key else object_url(key, bucket, region)

    found = {}
    for name, transcode in templates.transcode.items():
        if transcode.node is not None:
            address = address_of(TRANSCODE, name)
            content = with_sounds(transcode.node, url).plain()
            found[address] = DeclaredTemplate(address, api.TRANSCODE, name, content)
    for name, watermark in templates.watermark.items():
        if watermark.node is not None:
            address = address_of(WATERMARK, name)
            content = with_picture(watermark.node, url).plain()
            found[address] = DeclaredTemplate(address, api.WATERMARK, name, content)
    return found


def address_of(section: str, name: str) -> str:
    """Return the address of a declared template, ``transcode_template.hd``."""
    return f"{section.removesuffix('s')}.{name}"


def find(templates: Mapping[str, Template[T]], name: object, section: str) -> Template[T]:
    """Return the template of a name. Raises ExpressionError when there is none."""
    if not isinstance(name, str):
        raise ExpressionError("the name of a template must be a text")
    if name not in templates:
        advice = (
            did_you_mean(name, templates) or known_words(sorted(templates))
            if templates
            else f"declare it under `{section}`"
        )
        raise ExpressionError(f"there is no `{name}` under `{section}`", advice)
    return templates[name]


def _declared(manifests: Iterable[Manifest], section: str) -> Iterator[tuple[Manifest, Path, Mapping[str, Any]]]:
    for manifest in manifests:
        entries = manifest.transcode_templates if section == TRANSCODE else manifest.watermark_templates
        for name, data in entries.items():
            yield manifest, (section, name), data


class _Reader:
    def __init__(self, compiler: Compiler, problems: Problems) -> None:
        self._compiler = compiler
        self._problems = problems

    def read(
        self,
        declared: Iterable[tuple[Manifest, Path, Mapping[str, Any]]],
        model: type[T],
        check: Callable[[T], tuple[rules.Violation, ...]],
    ) -> Iterator[tuple[str, Template[T]]]:
        first: dict[str, Manifest] = {}
        for manifest, path, data in declared:
            name = str(path[-1])
            if name in first:
                at = first[name].position(path, on_key=True)
                summary = f"the template `{name}` is already declared in {at.source}, line {at.line}"
                self._problems.add([manifest.diagnostic("error", path, summary, "rename one of the two", on_key=True)])
                continue
            first[name] = manifest
            if len(name) > NAME_LENGTH:
                summary = f"the name has {len(name)} characters, the service takes {NAME_LENGTH}"
                self._problems.add([manifest.diagnostic("error", path, summary, "write a shorter one", on_key=True)])
            yield name, self._template(manifest, path, data, model, check)

    def _template(
        self,
        manifest: Manifest,
        path: Path,
        data: Mapping[str, Any],
        model: type[T],
        check: Callable[[T], tuple[rules.Violation, ...]],
    ) -> Template[T]:
        failures: Failures = []
        value = self._compiler.value(data, path, failures)
        for at, error in failures:
            self._problems.add([manifest.diagnostic("error", at, error.summary, error.advice)])
        if value.build is not None:
            summary = "a template is shared by all outputs and cannot use `each`"
            self._problems.add([manifest.diagnostic("error", path, summary, "use `vars`", on_key=True)])
        if failures or value.build is not None:
            return Template(manifest, path, None)
        node = self._typed(manifest, path, value.constant, model)
        if node is None:
            return Template(manifest, path, None)
        return Template(manifest, path, node, self._checked(manifest, path, check(node)))

    def _typed(self, manifest: Manifest, path: Path, data: Any, model: type[T]) -> T | None:
        try:
            return validated(model, data)
        except ValidationError as error:
            found = type_problems(model, error.errors(include_url=False))
        self._problems.add(
            manifest.diagnostic("error", (*path, *problem.path), problem.summary, problem.advice)
            for problem in found
            if not problem.unknown  # the manifest has reported it
        )
        return None

    def _checked(
        self, manifest: Manifest, path: Path, violations: Iterable[rules.Violation]
    ) -> frozenset[tuple[Path, str]]:
        reported = set()
        for violation in violations:
            at = (*path, *violation.path)
            self._problems.add([manifest.diagnostic(violation.severity, at, violation.message, violation.advice)])
            reported.add((violation.path, violation.message))
        return frozenset(reported)


def validated(model: type[T], data: Any) -> T:
    """Read a node from plain data under manifest keys, in which every key counts. Raises ValidationError."""
    return model.model_validate(data, extra="forbid")
