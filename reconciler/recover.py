"""Recorded state from what is there: past jobs and objects → records. Pure.

``recover`` takes for recorded only what a job of ours proves; ``adopt`` takes one object for what is wanted because a
person says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.api.messages import CANCEL, SUCCESS, TERMINAL, JobRequest, Operation
from reconciler.api.user_data import split_user_data
from reconciler.contents import Contents
from reconciler.fingerprint import earlier_fingerprints, fingerprint, sources_of
from reconciler.state import (
    DesiredState,
    ObservedState,
    Output,
    PastJob,
    Record,
    StoredObject,
    StoredTemplate,
    Submission,
    TemplateRecord,
    request_keys,
)
from reconciler.wire import renamed

Name = Callable[[str], str]
"""Turns the URL of a source into its key."""

_EVER: Final = "1970-01-01T00:00:00+00:00"
"""When a job was submitted that does not tell: looking for it since then finds it."""

_WILDCARD: Final = "${jobid}"


@dataclass(frozen=True, slots=True)
class Proven:
    """A record that a past job proves. It is ``current`` when it is what is declared, made of what is there today."""

    record: Record
    job: PastJob
    current: bool


@dataclass(frozen=True, slots=True)
class Live:
    """A submission whose job has not ended; one that is not ``current`` makes what was declared earlier."""

    submission: Submission
    state: str
    current: bool


@dataclass(frozen=True, slots=True)
class Recovered:
    """What can be said of outputs without a record, by address.

    ``unproven`` are those whose object (the value) is there while no job can be shown to have made it. ``strangers``
    are keys of objects that jobs of ours made and that nothing here declares or records: they may be another
    project's. ``twins`` are jobs, by token, that were made for one submission. ``templates`` are those on the service
    that have the name of a declared one and that jobs of ours have named.
    """

    proven: Mapping[str, Proven] = field(default_factory=dict)
    live: Mapping[str, Live] = field(default_factory=dict)
    unproven: Mapping[str, str] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    templates: Mapping[str, TemplateRecord] = field(default_factory=dict)


def recover(desired: DesiredState, observed: ObservedState, *, name: Name) -> Recovered:
    """Find the past job that made each declared output without a record, and those that are still at work.

    What is recorded or begun stays as it is. ``observed`` holds the history, and the objects that it speaks of.
    """
    return _Recovery(desired, observed, name).run()


class _Recovery:
    def __init__(self, desired: DesiredState, observed: ObservedState, name: Name) -> None:
        self._desired = desired
        self._observed = observed
        self._name = name
        self._twins = _twins(observed.history)
        ended = tuple(past for past in observed.history if past.state in TERMINAL)
        self._ended = Contents(replace(observed, history=ended))
        self._copies: dict[str, list[PastJob]] = defaultdict(list)
        self._working: dict[str, PastJob] = {}
        for past in observed.history:
            if past.state == SUCCESS and past.md5:
                self._copies[past.md5].append(past)
            elif past.state not in TERMINAL:
                self._working.setdefault(past.declared, past)

    def run(self) -> Recovered:
        proven: dict[str, Proven] = {}
        live: dict[str, Live] = {}
        unproven: dict[str, str] = {}
        for address, output in self._desired.outputs.items():
            if address not in self._observed.pending and (past := self._at_work(output)) is not None:
                live[address] = self._live(output, past)
            if address in self._observed.records:
                continue
            if (found := self._proven(output)) is not None:
                proven[address] = found
            elif output.object in self._observed.objects:
                unproven[address] = output.object
        return Recovered(proven, live, unproven, self._strangers(proven), self._twins, self._templates())

    def _at_work(self, output: Output) -> PastJob | None:
        return next((self._working[key] for key in _keys(output) if key in self._working), None)

    def _proven(self, output: Output) -> Proven | None:
        """Return the record of what the newest job made under the key of an output, when it is there untouched.

        A copy of what another job of this content made is as good.
        """
        past = self._ended.job_at(_keys(output), lambda _: True)
        if past is not None:
            there = self._observed.objects[past.key]
            return self._recorded(output, past, past.key, there)
        copied = self._observed.objects.get(output.object)
        for past in self._copies.get(copied.etag, ()) if copied else ():
            if copied is not None and self._is_current(output, past):
                return self._recorded(output, past, output.object, copied)
        return None

    def _recorded(self, output: Output, past: PastJob, key: str, there: StoredObject) -> Proven:
        current = self._is_current(output, past)
        mark, request, inputs = self._content(output, past, current=current)
        record = Record(
            object=key,
            fingerprint=mark,
            request=request,
            inputs=inputs,
            etag=there.etag,
            job=past.job,
            size=there.size,
            duration=past.duration,
            created=past.created,
            finished=past.finished,
            engine=past.engine,
            files=_beside(past) if key == past.key else None,
            protect=output.protect,
        )
        return Proven(record, past, current)

    def _live(self, output: Output, past: PastJob) -> Live:
        """Return a submission for a job at work; also one of other content, as it is going to write the key."""
        current = self._is_current(output, past)
        _, request, inputs = self._content(output, past, current=current)
        submission = Submission(
            address=output.address,
            token=past.token,
            fingerprint=past.fingerprint,
            object=output.object,
            request=request,
            inputs=inputs,
            time=past.created or _EVER,
            job=past.job,
            sends=len(self._twins.get(past.token, (past.job,))),
        )
        return Live(submission, past.state, current)

    def _is_current(self, output: Output, past: PastJob) -> bool:
        """Tell whether a job was asked for what is declared, made of what the sources hold today."""
        inputs = self._inputs(output.sources)
        request = request_keys(output)
        return len(inputs) == len(output.sources) and past.fingerprint in (
            fingerprint(request, inputs),
            *earlier_fingerprints(request, inputs),
        )

    def _content(
        self, output: Output, past: PastJob, *, current: bool
    ) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
        """Return fingerprint, request and inputs of what a job made: the declared ones when they are its own.

        Otherwise what the job was asked for, so that plan names what has changed since. What its sources held is known
        only when they hold the same today.
        """
        if current:
            request, inputs = request_keys(output), self._inputs(output.sources)
            return fingerprint(request, inputs), request, inputs
        plainly = _asked_for(past, self._name)
        held = _with_held(plainly, self._observed.templates)
        for request in (held, plainly):
            inputs = self._inputs(sources_of(request))
            if fingerprint(request, inputs) == past.fingerprint:
                return past.fingerprint, request, inputs
        return past.fingerprint, held if output.templates else plainly, {}

    def _inputs(self, sources: tuple[str, ...]) -> dict[str, str]:
        objects = self._observed.objects
        return {key: objects[key].etag for key in sources if key in objects}

    def _templates(self) -> dict[str, TemplateRecord]:
        """Return the declared templates that jobs of ours were made with, as the service has them now.

        Whether we made them cannot be told, so they count as adopted: prune leaves them there.
        """
        named: set[str] = set()
        for past in self._observed.history:
            if (operation := past.operation) is not None:
                named.update(filter(None, (operation.transcode_template_id, *(operation.watermark_template_id or ()))))
        stored = {(one.tag, one.name): one for one in reversed(self._observed.templates) if one.id in named}
        return {
            address: TemplateRecord(one.id, one.tag, one.name, one.content, one.content, adopted=True)
            for address, template in self._desired.templates.items()
            if address not in self._observed.template_records
            and (one := stored.get((template.tag, template.name))) is not None
        }

    def _strangers(self, proven: Mapping[str, Proven]) -> tuple[str, ...]:
        known = {output.object for output in self._desired.outputs.values()}
        known |= {record.object for record in self._observed.records.values()}
        known |= {found.record.object for found in proven.values()}
        objects = self._observed.objects
        made = (past for past in self._observed.history if past.state == SUCCESS and past.key not in known)
        return tuple(sorted({past.key for past in made if _is_what_was_made(past, objects.get(past.key))}))


def _keys(output: Output) -> tuple[str, ...]:
    """Return the key of an output, as it is and as it is asked for: ``${ext}`` and ``${jobid}`` are filled in later."""
    return tuple(dict.fromkeys((output.object, output.request.operation[0].output.object)))


def _beside(past: PastJob) -> tuple[str, ...] | None:
    """Return the keys of what a job made beside its object."""
    return tuple(key for key in past.files or () if key != past.key) or None


def _is_what_was_made(past: PastJob, there: StoredObject | None) -> bool:
    """Tell whether an object is the one that a job reported; of one that was stored in parts only the size tells."""
    if there is None:
        return False
    return there.size == past.size if "-" in there.etag else there.etag == past.md5


def _asked_for(past: PastJob, name: Name) -> dict[str, Any]:
    """Return the request of a past job as a lockfile keeps it: with keys for URLs, without bucket and token."""
    assert past.operation is not None, "the history holds only jobs that tell what they were asked for"
    operation = renamed(past.operation, name)
    output = operation.output.model_copy(update={"bucket": None, "region": None})
    fields = {part: getattr(operation, part) for part in Operation.model_fields}
    own = split_user_data(operation.user_data or "")[0] or None
    return JobRequest(operation=(Operation(**{**fields, "output": output, "user_data": own}),)).plain()


def _with_held(request: Mapping[str, Any], templates: tuple[StoredTemplate, ...]) -> dict[str, Any]:
    """Return a request with what the templates that it names hold on the service, in their place."""
    (operation,) = request["operation"]
    kept = {template.id: template.content for template in templates}
    update: dict[str, Any] = {}
    if (named := operation.get("transcode_template_id")) in kept:
        update |= {"transcode_template_id": None, "transcode": kept[named]}
    marks = operation.get("watermark_template_id") or []
    if marks and kept.keys() >= set(marks):
        update |= {"watermark_template_id": None, "watermark": [kept[mark] for mark in marks]}
    put = {part: value for part, value in {**operation, **update}.items() if value is not None}
    return {**request, "operation": [put]}


def _twins(history: tuple[PastJob, ...]) -> dict[str, tuple[str, ...]]:
    """Return the jobs that share a token; one that was cancelled is no second job any more."""
    jobs: dict[str, list[str]] = defaultdict(list)
    for past in history:
        if past.state != CANCEL:
            jobs[past.token].append(past.job)
    return {token: tuple(sorted(same)) for token, same in jobs.items() if len(same) > 1}


# One object, because a person says so.


def adopt(output: Output, observed: ObservedState, *, now: str) -> Record | str:
    """Return the record that takes the object under an output's key for the wanted one, or why that cannot be.

    ``now`` is the time to record, ISO 8601 in UTC. Nothing is said of what the object shows.
    """
    record = observed.records.get(output.address)
    key = output.object
    if _WILDCARD in key:
        asked = output.request.operation[0].output.object
        if record is None or record.request["operation"][0]["output"]["object"] != asked:
            return f"which object is meant is not known: its key, {key}, is made of the id of its job"
        key = record.object
    if (reason := _is_begun(output.address, observed)) is not None:
        return reason
    there = observed.objects.get(key)
    if there is None:
        return f"there is no object {key}"
    inputs = {source: observed.objects[source].etag for source in output.sources if source in observed.objects}
    if missing := [source for source in output.sources if source not in inputs]:
        return f"{missing[0]}, which it is made of, is missing"
    request = request_keys(output)
    mark = fingerprint(request, inputs)
    if record is not None and (record.object, record.etag, record.fingerprint) == (key, there.etag, mark):
        return "is recorded like this already"
    return Record(key, mark, request, inputs, there.etag, size=there.size, finished=now, protect=output.protect)


def _is_begun(address: str, observed: ObservedState) -> str | None:
    """Say which submission of an output is not settled yet."""
    begun, live = observed.pending.get(address), observed.jobs.get(address)
    if begun is None or (live is None and begun.job is not None):  # the service no longer knows the job
        return None
    if live is None:
        return "its submission was interrupted; apply settles that"
    if live.state in TERMINAL:
        return f"its job {live.job} ended as {live.state}; apply records that"
    return f"its job {live.job} is {live.state}; wait for it, or cancel it"
