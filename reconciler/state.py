"""The values that planning compares: desired, recorded and observed state, and the fingerprint that ties them.

No I/O, no clock. ``resolve`` makes the desired state, ``lockfile`` the recorded one, ``observe`` the observed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from reconciler.api.messages import JobRequest, Operation
from reconciler.diagnostics import Diagnostic, Position
from reconciler.fingerprint import content_digest


class Recipe(Protocol):
    """How the request of an output is made when somebody asks for it; most requests are never looked at."""

    def request(self) -> JobRequest:
        """Make the request."""

    def digest(self) -> str:
        """Return ``content_digest`` of the request, without making it."""


@dataclass(frozen=True, slots=True)
class Output:
    """One declared video: what it is called, what it is made of, under which key it is stored.

    ``request`` holds one operation; its urls are object keys and its output names neither bucket nor region, so that
    the same declaration reads the same in every environment. ``sources`` are the keys it reads (videos, sounds,
    watermark pictures), as they come in the request, ``upstream`` the addresses of those that are outputs themselves,
    ``templates`` those of the declared templates that it names; what they hold is in the request. ``labels`` are for
    people to select by, ``row`` is the number of the row that it comes from: its line, where a row has one, else 0.
    """

    address: str
    request: JobRequest
    object: str
    sources: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    protect: bool = False
    adopt: bool = False
    ignore_changes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    declared_at: Position | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    row: int = field(default=0, compare=False)
    recipe: Recipe | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def lazy(cls, recipe: Recipe, **fields: Any) -> Output:
        """Return an output whose request is made when it is asked for; ``fields`` are all the others."""
        made = object.__new__(cls)
        put = object.__setattr__  # the quickest way around a frozen class: this is done for every output of a project
        put(made, "recipe", recipe)
        for name, value in fields.items():
            put(made, name, value)
        return made

    def made_of(self, upstream: tuple[str, ...]) -> Output:
        """Return this output made of these other outputs."""
        return replace(self, upstream=upstream) if self.recipe is None else self.by(self.recipe, upstream=upstream)

    def by(self, recipe: Recipe, **changed: Any) -> Output:
        """Return this output with its request made by a recipe, and other fields changed."""
        kept = {name: getattr(self, name) for name in self.__slots__ if name not in ("request", "recipe")}
        return Output.lazy(recipe, **{**kept, **changed})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> JobRequest:
            """Make the request of a lazy output, whose slot is empty. Not kept: it is a hundred times its recipe."""
            if name == "request" and self.recipe is not None:
                return self.recipe.request()
            raise AttributeError(f"an output has no {name}")

    @property
    def digest(self) -> str:
        """Digest of what decides the pixels and the sound, see ``content_digest``."""
        return content_digest(self.request.plain()) if self.recipe is None else self.recipe.digest()


@dataclass(frozen=True, slots=True)
class DeclaredTemplate:
    """One declared template: ``tag`` and ``name`` as the service is to keep it, ``content`` as it is sent."""

    address: str
    tag: str
    name: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Every declared output by address, in address order; ``moved`` maps old addresses to new ones.

    ``templates`` are the declared templates by address, such as ``transcode_template.hd``.
    """

    outputs: Mapping[str, Output]
    moved: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    templates: Mapping[str, DeclaredTemplate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """What we last made for an address, as the lockfile keeps it.

    ``request`` is the whole resolved request under manifest keys, ``inputs`` the ETag of every source at that time;
    together they name what changed. ``size`` is in bytes, ``duration`` in seconds, times are ISO 8601 in UTC.
    ``engine`` says which FFmpeg made it, when the service tells; ``files`` are the keys of what belongs to the object:
    the segments of a playlist.
    """

    object: str
    fingerprint: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    etag: str
    job: str | None = None
    size: int | None = None
    duration: float | None = None
    created: str | None = None
    finished: str | None = None
    engine: str | None = None
    files: Sequence[str] | None = None
    protect: bool = False


class Glanced(Protocol):
    """What planning compares of every record: a Record has it, and so has what was read of its line."""

    @property
    def object(self) -> str:
        """The key."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint."""

    @property
    def etag(self) -> str:
        """The ETag of the object."""

    @property
    def size(self) -> int | None:
        """Bytes of the object."""

    @property
    def protect(self) -> bool:
        """Whether it was protected."""

    @property
    def files(self) -> Sequence[str] | None:
        """The keys of what belongs to the object."""

    @property
    def inputs(self) -> Mapping[str, str] | None:
        """The ETag of every source at that time; None where they were not kept when its line was read."""


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """A template that we keep on the service, as the lockfile has it.

    ``content`` is what we sent, ``stored`` what the service answered to it: the two differ where a service fills in
    defaults, and drift is a difference from what it answered. One that was ``adopted`` was there before it was
    recorded, so others may use it.
    """

    id: str
    tag: str
    name: str
    content: Mapping[str, Any]
    stored: Mapping[str, Any]
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template that the service has, whoever made it."""

    id: str
    tag: str
    name: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Submission:
    """An effect that was begun and whose end is not recorded.

    Without ``job`` it is in doubt: the job may or may not exist. ``token`` travels in the job's UserData and finds it.
    ``sends`` counts how often it was sent; from the second time on there may be two jobs. ``made_of`` are the outputs
    that it reads, each with the job that had made it.
    """

    address: str
    token: str
    fingerprint: str
    object: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    time: str
    job: str | None = None
    sends: int = 1
    made_of: Mapping[str, str | None] = field(default_factory=dict)

    def renamed(self, address: str, moves: Mapping[str, str]) -> Submission:
        """Return it under this address, made of what has the addresses of today (``moves``: old → new)."""
        made_of = {moves.get(name, name): job for name, job in self.made_of.items()}
        return replace(self, address=address, made_of=made_of)


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt at an output.

    ``attempts`` counts those with the same fingerprint since it was last made; ``earlier`` tells of them, oldest first,
    each as "time code: message".
    """

    address: str
    job: str | None
    code: str
    message: str
    time: str
    attempts: int = 1
    fingerprint: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that the bucket holds; ``size`` in bytes, ``etag`` without quotes."""

    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job of ours that the service has accepted and not finished, or finished without us having recorded it.

    ``twins`` are other jobs with the same token: a submission that was sent again after the visibility bound, and whose
    first job appeared only then.
    """

    job: str
    state: str
    progress: int = 0
    token: str = ""
    twins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job of ours in the service's history, whoever recorded it.

    ``fingerprint`` and ``token`` are what its UserData carries, ``declared`` the key that it was given and ``key`` the
    one that it wrote. ``md5`` and ``size`` are those of the object, when it tells; ``operation`` is what was asked for.
    """

    job: str
    state: str
    token: str
    fingerprint: str
    declared: str
    key: str
    md5: str | None = None
    size: int | None = None
    operation: Operation | None = None
    duration: float | None = None
    created: str | None = None
    finished: str | None = None
    engine: str | None = None
    files: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What bucket, jobs and lockfile say now.

    ``objects`` has every object under the keys that matter; ``pending`` the submissions without a recorded end, by
    address; ``jobs`` what the service says of those, by address. ``templates`` are all templates of the service, and
    ``template_records`` those that we keep there, by address. ``failures`` are the last failed attempts by address, and
    ``history`` the service's past jobs of ours, newest first, as far as anybody asked for them. ``glimpsed`` is what is
    compared of the records, where those are only read when somebody asks for more. ``refreshed`` is False when nobody
    was asked: then everything is taken to be as it was recorded.
    """

    objects: Mapping[str, StoredObject]
    records: Mapping[str, Record]
    pending: Mapping[str, Submission] = field(default_factory=dict)
    jobs: Mapping[str, LiveJob] = field(default_factory=dict)
    templates: tuple[StoredTemplate, ...] = ()
    template_records: Mapping[str, TemplateRecord] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    history: tuple[PastJob, ...] = ()
    glimpsed: Mapping[str, Glanced] | None = None
    refreshed: bool = True

    @property
    def glances(self) -> Mapping[str, Glanced]:
        """What is compared of each record, by address."""
        return self.records if self.glimpsed is None else self.glimpsed


def request_keys(output: Output) -> dict[str, Any]:
    """Return an output's request as plain data under manifest keys, as the lockfile keeps it."""
    return output.request.plain()
