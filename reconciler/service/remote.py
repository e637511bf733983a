"""One render on another machine: what travels there and back, and how its sources come and its files go.

All of it passes through the object API of the service that wants the render, by addresses that the service has signed:
the other machine holds no credentials and listens to nobody. The files become the parts of an upload that nobody else
knows. Its last part says how far the render is, and when the upload is gone nobody wants the result any more. The
service's side is ``farm``.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from filelock import FileLock, Timeout

from reconciler.errors import ReconcilerError, RenderError
from reconciler.service.ffmpeg import locate
from reconciler.service.links import DeniedError, Link, ObjectApi, Stretch, UnheardError
from reconciler.service.prober import Prober
from reconciler.service.render.failure import DISK, INTERNAL, INVALID_SOURCE, RenderFailed
from reconciler.service.rendering import Bench, Rendered, Work, Workshop, perform
from reconciler.service.sandbox import Sandbox

VERSION: Final = version("reconciler")

PROGRESS_PART: Final = 10_000
"""The part that holds the progress; those of the files come before it."""

PIECE: Final = 256 << 20
"""Bytes of one part at most: what is sent again when a connection breaks."""

BEAT_SECONDS: Final = 1.0
"""How often the service is told the progress, or asked whether it still wants the result."""

PATIENCE: Final = 120.0
"""Seconds that the service may be out of reach before a render is given up."""

_BEAT_PATIENCE: Final = 30.0
_CONTENT_PATIENCE: Final = 300.0
"""How long an answer about content is waited for: the service may first have to read a large object for its digest."""

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 15.0
_GONE: Final = ("NoSuchKey", "InvalidObjectState")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")
_FOLDER: Final = "reconciler-renders-"
_STALE_SECONDS: Final = 60.0

T = TypeVar("T")
_Wanted = Callable[[], bool]
_wanted: ContextVar[_Wanted] = ContextVar("wanted", default=lambda: True)


# What travels.


@dataclass(frozen=True, slots=True)
class Order:
    """Where one render reads and writes.

    ``sources`` has every url of the work's operation. ``parts`` takes parts of the upload; their number is to be added,
    which is why the signature does not cover it. ``look`` tells whether the upload is still there. ``patience`` is in
    seconds. ``version`` is that of the program that gives the order.
    """

    sources: Mapping[str, Link]
    parts: Link
    look: Link
    patience: float = PATIENCE
    version: str = VERSION


@dataclass(frozen=True, slots=True)
class Piece:
    """What one part of the upload holds: a file, or a stretch of one. ``md5`` is in hexadecimal."""

    name: str
    md5: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a render has come to; the first of ``pieces`` is part 1 of the upload, and so on."""

    rendered: Rendered
    pieces: tuple[Piece, ...]


class AttemptFailed(ReconcilerError):  # noqa: N818 - like RenderFailed it is an outcome, not a mistake
    """An attempt came to nothing and the job is not to blame: another one, elsewhere or later, may succeed."""


# The task.


@contextmanager
def heeding(wanted: _Wanted) -> Iterator[None]:
    """Stop the render that the block runs when ``wanted`` says no.

    For executors that know of a running task that nobody waits for it any more. It is asked from another thread.
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def fulfil(work: Work, order: Order) -> Delivery:
    """Render one job on this machine and bring its files to the service: what an executor is given.

    Raises RenderFailed when the job is to blame, AttemptFailed when it is not.
    """
    here = socket.gethostname()
    if order.version != VERSION:
        raise AttemptFailed(f"{here} has reconciler {VERSION}, the service {order.version}: install the same")
    try:
        tools, folder = _tools()
        with RemoteDesk(order, folder) as desk:
            try:
                return Delivery(perform(work, desk, tools), tuple(desk.pieces))
            except CancelledError:
                raise AttemptFailed(f"{here}: {desk.reason}") from None
    except RenderError as error:
        raise AttemptFailed(f"{here}: {error.message}", advice=error.advice) from None
    except OSError as error:
        raise AttemptFailed(f"{here}: {error}") from None


class RemoteDesk:
    """A desk whose files come from the service and go there; working files lie below ``folder``.

    It speaks to the service from a thread of its own while it is entered.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        self.pieces: list[Piece] = []
        self.reason = ""
        self._order = order
        self._folder = folder
        self._service, self._listener = ObjectApi(_CONTENT_PATIENCE), ObjectApi(_BEAT_PATIENCE)
        self._wanted = _wanted.get()
        self._share = 0.0
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._reporter = threading.Thread(target=self._report, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._reporter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._reporter.join()
        self._service.close()
        self._listener.close()

    @contextmanager
    def opened(self) -> Iterator[Bench]:
        """Bring the sources here; nothing of the render stays when the block ends."""
        with tempfile.TemporaryDirectory(prefix="render-", dir=self._folder) as root:
            sources, made = Path(root, "sources"), Path(root, "made")
            sources.mkdir()
            made.mkdir()
            found = {}
            for number, (url, link) in enumerate(self._order.sources.items()):
                found[url] = sources / f"{number}{_suffix(url)}"
                self._fetch(url, link, found[url])
            yield Bench(found, made)

    def tell(self, share: float) -> None:
        """Note how much is done; the service hears of it with the next beat."""
        self._share = share

    def stopped(self) -> bool:
        """Tell whether nobody wants the result any more, or nobody can be told of it."""
        return self._stop.is_set()

    def deliver(self, folder: Path, names: Sequence[str]) -> None:
        """Send the finished files. Raises RenderFailed when they are more than an upload can hold."""
        cuts = [(name, start) for name in names for start in _cuts((folder / name).stat().st_size)]
        if len(cuts) >= PROGRESS_PART:
            raise RenderFailed(INTERNAL, f"the result has {len(names)} files, too many to be sent")
        for number, (name, start) in enumerate(cuts, 1):
            try:
                md5 = self._insist(partial(self._send, number, folder / name, start))
            except DeniedError as error:
                raise AttemptFailed(f"the service does not take the result: {error}") from None
            self.pieces.append(Piece(name, md5))

    # Details.

    def _fetch(self, key: str, link: Link, path: Path) -> None:
        try:
            self._insist(lambda: self._service.get(link, path, self._check))
        except DeniedError as error:
            if error.code in _GONE:
                raise RenderFailed(INVALID_SOURCE, f"{key}: {error.message}") from None
            raise AttemptFailed(f"{key} cannot be read from the service: {error}") from None
        except OSError as error:
            if error.errno in _FULL:
                raise RenderFailed(DISK, f"{key}: there is not enough room on {socket.gethostname()}") from None
            raise

    def _send(self, number: int, path: Path, start: int) -> str:
        return self._service.put(_part(self._order.parts, number), Stretch(path, start, PIECE), self._check)

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call until the service answers, with growing pauses. Raises AttemptFailed in the end."""
        pause, waited = _FIRST_PAUSE, 0.0
        while True:
            self._check()
            try:
                return call()
            except UnheardError as error:
                if waited >= self._order.patience:
                    raise AttemptFailed(f"the service is out of reach: {error}") from None
            self._stop.wait(pause)
            pause, waited = min(2 * pause, _LONGEST_PAUSE), waited + pause

    def _check(self) -> None:
        if self.stopped():
            raise CancelledError

    def _report(self) -> None:
        """Tell the progress and look whether the result is still wanted, until the render has ended."""
        told, heard_at = 0, time.monotonic()
        while not self._ended.wait(BEAT_SECONDS):
            if not self._wanted():
                return self._give_up("its executor has taken the task back")
            percent = int(self._share * 100)
            try:
                self._beat(None if percent == told else percent)
            except DeniedError as error:
                return self._give_up(f"the service wants the result no more: {error}")
            except UnheardError as error:
                if time.monotonic() - heard_at > self._order.patience:
                    return self._give_up(f"the service is out of reach: {error}")
            else:
                told, heard_at = percent, time.monotonic()
        return None

    def _beat(self, percent: int | None) -> None:
        """Write the progress, which costs the service's disk something, only when it is another one."""
        if percent is None:
            self._listener.look(self._order.look)
        else:
            text = str(percent / 100).encode()
            self._listener.put(_part(self._order.parts, PROGRESS_PART), text, lambda: None)

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._stop.set()


def _part(link: Link, number: int) -> Link:
    return Link(f"{link.url}&partNumber={number}", link.host)


def _cuts(size: int) -> range:
    """Return where the pieces of a file begin; an empty file is one piece."""
    return range(0, max(size, 1), PIECE)


def _suffix(key: str) -> str:
    """Return what may matter of a name: some demuxers look at it."""
    suffix = Path(key).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


# This machine.

_making: Final = threading.Lock()


def _tools() -> tuple[Workshop, Path]:
    """Return the tools of this process and its folder, made when the first task comes."""
    with _making:
        return _made_tools()


@cache
def _made_tools() -> tuple[Workshop, Path]:
    folder = _own_folder(Path(tempfile.gettempdir()))
    sandbox = Sandbox.detect(os.environ)
    tools = Workshop(locate(os.environ), sandbox, Prober([folder], sandbox))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(tools.prober.close)
    return tools, folder


def _own_folder(parent: Path) -> Path:
    """Make the folder of this process, and remove those of processes that were killed."""
    for folder in parent.glob(f"{_FOLDER}*"):
        _remove_stale(folder)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent)).resolve()
    _locks.append(_lock(folder))
    _locks[-1].acquire(timeout=0)
    return folder


def _remove_stale(folder: Path) -> None:
    """Remove a folder of ours that no process holds; one that is being made is held a moment later."""
    try:
        status = folder.lstat()
        if folder.is_symlink() or status.st_uid != os.getuid() or time.time() - status.st_mtime < _STALE_SECONDS:
            return
        with _lock(folder).acquire(timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except (OSError, Timeout):
        return


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock")


_locks: Final[list[FileLock]] = []
"""Held until this process ends."""
