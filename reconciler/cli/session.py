"""The composition root: which project, which service, which lockfile. The only place that knows all the parts."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import click

from reconciler.errors import ProjectError, UsageError
from reconciler.project import Project, load

if TYPE_CHECKING:
    from reconciler.api.signing import Credentials
    from reconciler.apply import Pace
    from reconciler.cache import Cache
    from reconciler.cli import Globals
    from reconciler.cli.selecting import Selection
    from reconciler.client import Client
    from reconciler.diagnostics import Diagnostic
    from reconciler.inflight import Bell
    from reconciler.lockfile import Lockfile
    from reconciler.plan import Plan
    from reconciler.rows import Rows
    from reconciler.service.carriers import Ways
    from reconciler.state import DesiredState, ObservedState
    from reconciler.transport import Patience

T = TypeVar("T")

BUILT_IN_LAYOUTS: Final = "templates"

_PACES: Final = {"embedded": (0.2, 0.0, 0.0), "cloud": (5.0, 120.0, 60.0)}
"""In seconds, by service: the longest pause between questions, how long an accepted job may stay invisible, and how
long a call of a process that has died may still be under way."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end what waits for the service, and return its result.

    Not as the result of the task: asyncio looks up how an interrupt is handled, for which Python writes out the task
    and all that it holds, and a world of 100,000 outputs takes seconds to write.
    """
    import asyncio

    results: list[T] = []

    async def collected() -> None:
        results.append(await work)

    asyncio.run(collected())
    return results[0]


Role = Literal["look", "write", "render"]
"""What the embedded service is wanted for: answers, also objects to be written, also jobs to be rendered."""


def open_project(options: Globals) -> Project:
    """Return the project of the folder that ``-C`` names, with its environment and variables."""
    return load(
        options.directory, environment=options.environment, variables=options.variables, environ=dict(os.environ)
    )


def shipped(name: str, within: str = "") -> Path:
    """Return a file or folder that ships with the package.

    In a wheel it lies inside the package (below ``within``, when given), in a checkout beside it.
    """
    package = Path(__file__).parent.parent
    inside = package / within / name
    return inside if inside.exists() else package.parent / name


# Desired state.


def read_desired(project: Project, *, cached: bool = True) -> DesiredState:
    """Read and resolve every manifest of the project. Raises ManifestError with all problems at once.

    With ``cached``, rows that an earlier run resolved are not resolved again; what is returned is the same.
    """
    import jinja2

    from reconciler.layout import environment
    from reconciler.manifest import parse_all
    from reconciler.resolve import resolve

    files = [(_shown(path), _read(path)) for path in _manifest_files(project)]
    manifests = parse_all((data, name) for name, data in files)
    folders = [project.templates_dir, shipped(BUILT_IN_LAYOUTS)]
    with _bulk():
        cache = _cache(project, files, folders) if cached else None
        memory = cache.memory() if cache else None
        desired = resolve(
            manifests,
            layouts=environment(jinja2.FileSystemLoader([str(folder) for folder in folders])),
            rows=lambda name: _read_rows(project.root, name),
            variables=project.vars,
            bucket=project.bucket,
            region=project.region,
            memory=memory,
        )
        if cache and memory:
            cache.keep(memory)
    return desired


def _cache(project: Project, manifests: Collection[tuple[str, bytes]], layouts: Collection[Path]) -> Cache:
    """Return what earlier runs know of the rows, as long as nothing else has changed."""
    from reconciler.cache import Cache, key

    decide = partial(key, project.vars, project.bucket, project.region, files=manifests, folders=layouts)
    return Cache(project.state_dir / "cache" / _named("desired", project), decide)


@contextmanager
def _bulk() -> Iterator[None]:
    """Keep the garbage collector out while many small values are made that all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProjectError(f"cannot read {_shown(path)}: {error.strerror}") from error


def _manifest_files(project: Project) -> list[Path]:
    """Return the manifests in name order.

    What looks like one and cannot be read is an error: to skip it would mean that its outputs are no longer declared.
    """
    folder = project.manifests_dir
    found = sorted(folder.rglob("*"))
    for path in found:
        if path.is_symlink() and path.is_dir():
            raise ProjectError(f"{_shown(path)} is a link to a folder", advice="links to folders are not followed")
    files = [path for path in found if path.suffix in (".yaml", ".yml") and not path.is_dir()]
    for path in files:
        if not path.is_file():
            raise ProjectError(f"cannot read {_shown(path)}: it is no file", advice="remove it, or mend the link")
    if not files:
        raise ProjectError(
            f"there is no manifest in {_shown(folder)}", advice="write one, or see `reconciler init` for an example"
        )
    return files


def _shown(path: Path) -> str:
    """Return a path as it is shown: relative to where the person stands, when it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _read_rows(root: Path, name: str) -> Rows:
    from reconciler.rows import read_rows

    path = root / name
    return read_rows(lambda: path.open("rb"), _shown(path))


# The service.


@asynccontextmanager
async def connect(
    project: Project,
    role: Role = "look",
    *,
    parallelism: int | None = None,
    patience: Patience | None = None,
    bell: Bell | None = None,
    hear: Callable[[str], None] | None = None,
) -> AsyncIterator[Client]:
    """Yield a client of the project's service, for ``parallelism`` jobs in flight.

    The embedded service lives as long as the block, and does no more than its ``role`` takes. It may reach the ``bell``
    whatever the address. ``hear`` is told when the service asks to slow down.
    """
    from reconciler.client import Client
    from reconciler.endpoints import Endpoints

    options: dict[str, Any] = {
        "parallelism": parallelism or project.parallelism,
        "requests_per_second": project.requests_per_second,
        "patience": patience,
        "hear": hear,
    }
    if project.service == "embedded":
        import httpx

        from reconciler.service import Service

        async with (
            Service(
                project.root,
                bucket=project.bucket,
                region=project.region,
                concurrency=project.parallelism if role == "render" else 0,
                work=role != "look",
                ways=_ways(bell),
            ) as service,
            Client(
                Endpoints.of(project.bucket, project.region),
                transport=httpx.ASGITransport(app=service.app, raise_app_exceptions=False),
                **options,
            ) as client,
        ):
            yield client
        return
    origin = None if project.service == "cloud" else project.service
    templates = project.endpoints if origin is None else {}
    endpoints = Endpoints.of(project.bucket, project.region, origin, templates=templates)
    async with Client(endpoints, credentials(required=origin is None), **options) as client:
        yield client


@asynccontextmanager
async def listening(address: str | None) -> AsyncIterator[Bell]:
    """Yield the bell that callbacks to HOST:PORT ring while the block runs; one that nobody rings without an address.

    Raises UsageError when callbacks cannot come there.
    """
    from reconciler.inflight import Bell

    if address is None:
        yield Bell()
        return
    from reconciler.cli.callback_listen import listen
    from reconciler.listener import Listener

    listener = Listener(*listen(address))
    bell = Bell(listener.address)
    async with listener.ringing(bell.ring):
        yield bell


def _ways(bell: Bell | None) -> Ways:
    """Let the embedded service reach the public network, and the port of the bell."""
    from reconciler.service.carriers import Ways
    from reconciler.service.reach import public_only

    if bell is None or bell.address is None:
        return Ways()
    port = urlsplit(bell.address).port
    return Ways(reach=lambda address, called: called == port or public_only(address, called))


def credentials(*, required: bool = False) -> Credentials | None:
    """Return the credentials of the environment, under the names that the vendor's own tools use."""
    from reconciler.api.signing import Credentials

    secret_id = os.environ.get("TENCENTCLOUD_SECRET_ID", "")
    secret_key = os.environ.get("TENCENTCLOUD_SECRET_KEY", "")
    if secret_id and secret_key:
        return Credentials(secret_id, secret_key, os.environ.get("TENCENTCLOUD_SECURITY_TOKEN") or None)
    if required or secret_id or secret_key:
        missing = "TENCENTCLOUD_SECRET_KEY" if secret_id else "TENCENTCLOUD_SECRET_ID"
        raise UsageError(
            f"{missing} is not set, so requests cannot be signed",
            advice="set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY in the environment",
        )
    return None


def pace(project: Project, *, parallelism: int | None, wait: bool, fail_fast: bool) -> Pace:
    """Return how an apply goes about its plan.

    The embedded service lists a job as soon as it has accepted it, and a request cannot be under way to it any more
    once its process has died; the same service behind a socket may still be reading one (docs/assumptions.md).
    """
    from reconciler.apply import Pace
    from reconciler.transport import LONGEST_CALL

    poll, visibility, longest = _PACES.get(project.service, (1.0, 10.0, LONGEST_CALL))
    return Pace(
        parallelism or project.parallelism,
        poll,
        visibility if project.visibility is None else project.visibility,
        longest,
        retries=project.policy.retries,
        queues=project.queues,
        wait=wait,
        fail_fast=fail_fast,
    )


# Recorded state.


async def open_lockfile(project: Project, client: Client | None = None, *, inputs: bool = False) -> Lockfile:
    """Read the project's lockfile and journal, for looking only; with ``inputs`` as ``Lockfile`` says.

    One that is kept in the bucket is read through ``client``, or through one of its own.
    """
    from reconciler.lockfile import Lockfile
    from reconciler.stores import BucketStore

    if project.lockfile_key is None:
        return Lockfile.load(project.lockfile, project.state_dir / _named("journal", project), inputs=inputs)
    if client is None:
        async with connect(project) as own:
            return await open_lockfile(project, own, inputs=inputs)
    store = BucketStore(client, project.lockfile_key)
    return Lockfile(store, await store.load(), inputs=inputs)


@asynccontextmanager
async def changing_lockfile(
    project: Project, client: Client, what: str, *, patience: float = 0.0
) -> AsyncIterator[Lockfile]:
    """Yield the lockfile to a run that may change it; the caller holds the guard of this disk.

    When it is kept in the bucket, the guard there is held while the block runs; ``patience`` is how many seconds
    another run is waited for. Raises GuardError when another run holds it.
    """
    if project.lockfile_key is None:
        yield await open_lockfile(project)
        return
    from reconciler.guard import SharedGuard, ticks
    from reconciler.lockfile import Lockfile
    from reconciler.stores import BucketStore

    run = secrets.token_hex(8)
    guard = SharedGuard(client, project.lockfile_key, run, project.guard_lease, ticks)
    async with guard.held(what, patience=patience):
        fence = guard.taken_from is not None
        store = BucketStore(client, project.lockfile_key, run=run, check=guard.check, fence=fence)
        lockfile = Lockfile(store, await store.load())
        if fence:
            await store.begin()  # now, not after the plan was made: what it is made from stands still from here on
            lockfile.note = f"the guard of {guard.taken_from} had ended, and was taken"
        yield lockfile


@asynccontextmanager
async def editing_lockfile(project: Project, what: str) -> AsyncIterator[Lockfile]:
    """Yield a lockfile to change by hand, and write it whole afterwards."""
    async with AsyncExitStack() as stack:
        stack.enter_context(guarded(project, what))
        if project.lockfile_key is None:
            lockfile = await open_lockfile(project)
        else:
            client = await stack.enter_async_context(connect(project, "write"))
            lockfile = await stack.enter_async_context(changing_lockfile(project, client, what))
        await lockfile.begin()
        try:
            yield lockfile
            await lockfile.checkpoint()
        finally:
            lockfile.close()


@contextmanager
def guarded(project: Project, what: str) -> Iterator[None]:
    """Keep other runs on this project out while the block runs, whatever their environment."""
    from reconciler.guard import guard

    with guard(project.state_dir, _named(what, project)):
        yield


def _named(name: str, project: Project) -> str:
    return f"{name}.{project.environment}" if project.environment else name


# Planning.


async def make_plan(
    project: Project,
    client: Client | None,
    lockfile: Lockfile,
    desired: DesiredState,
    *,
    selection: Selection,
    changed: Collection[str] | None = None,
) -> tuple[Plan, ObservedState]:
    """Observe the world and plan against it; return also what was seen. Without a client nobody is asked.

    ``changed`` are the addresses that differ from the selection's revision.
    """
    from reconciler.limits import limited
    from reconciler.planning import make_plan as look_and_plan
    from reconciler.planning import plan_unrefreshed

    rules = {
        **selection.rules(desired.outputs, lockfile.glances, changed),
        "prune": selection.prune or project.policy.prune,
        "max_attempts": project.policy.max_attempts,
    }
    with _bulk():
        if client is None:
            made, observed = plan_unrefreshed(lockfile, desired, **rules)
        else:
            made, observed = await look_and_plan(client, lockfile, desired, **rules)
    return made if selection.limit is None else limited(made, selection.limit), observed


def not_rendered_here(project: Project, desired: DesiredState, plan: Plan) -> list[Diagnostic]:
    """Warn of outputs to make that the embedded service will refuse, so that nobody learns it from a failed job."""
    if project.service != "embedded":
        return []
    from reconciler.diagnostics import Diagnostic
    from reconciler.plan import RENDERS

    found: list[Diagnostic] = []
    rendered: set[str] = set()
    for output in (desired.outputs[action.address] for action in plan.actions if action.kind in RENDERS):
        if output.digest in rendered:  # what is alike but for its sources is rendered alike
            continue
        from reconciler.service.render.unsupported import unsupported

        refusals = list(unsupported(output.request.operation[0]))
        for refusal in refusals:
            summary = f"{'.'.join(map(str, refusal.path))}: {refusal.message}; the embedded service will refuse it"
            found.append(Diagnostic("warning", summary, output.declared_at, subject=output.address))
        if not refusals:
            rendered.add(output.digest)
    return found


def say(options: Globals, text: str) -> None:
    """Tell a person something that is not the result."""
    if not options.quiet:
        click.echo(text, err=True, color=options.color)
