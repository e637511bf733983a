"""``reconciler serve``: the embedded service on a socket."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import session
from reconciler.cli.listening import listen
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.api.signing import Credentials
    from reconciler.cli import Globals
    from reconciler.service.carriers import Ways
    from reconciler.service.farm import Crew


_ADDRESS = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_OPEN = (
    "warning: there are no credentials, so NO signature is checked: whoever can reach this port may read, change and "
    "delete everything"
)


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="DIR", show_default=True,
    help="Folder that holds buckets/ and the service's database.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port to listen on.")
@click.option("--bucket", metavar="NAME-APPID", help="Bucket of calls that name none; default the project's.")
@click.option("--region", help="Region of the bucket; default the project's.")
@click.option("--parallelism", type=click.IntRange(min=1), metavar="N", help="Renders at once.")
@click.option(
    "--executor", metavar="dask://HOST:PORT",
    help="Render on this Dask cluster, as many at once as it has threads; needs the extra reconciler[dask].",
)  # fmt: skip
@click.option(
    "--advertise", metavar="URL",
    help="Address under which the machines of --executor reach this service; default the one it listens on.",
)  # fmt: skip
@click.option(
    "--mq", metavar="URL", envvar="RECONCILER_MQ", show_envvar=True,
    help="AMQP broker for callbacks of type TDMQ, amqp://USER:PASSWORD@HOST:PORT/VHOST; without it they become files.",
)  # fmt: skip
@click.option(
    "--allow-private-callbacks", is_flag=True,
    help="Send callbacks to this machine and to private networks too, not only to public addresses.",
)  # fmt: skip
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter for each option
    options: Globals,
    *,
    root: Path,
    host: str,
    port: int,
    bucket: str | None,
    region: str | None,
    parallelism: int | None,
    executor: str | None,
    advertise: str | None,
    mq: str | None,
    allow_private_callbacks: bool,
) -> int:
    """Serve the embedded implementation of the API, for reconciler and for any other client.

    Signatures are checked when TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are set; without them anyone who
    reaches the port may do anything, so only a loopback address is accepted. With TENCENTCLOUD_SECURITY_TOKEN too they
    are temporary credentials: every call must carry the token.

    With --executor other machines render; they reach this one at the address that --advertise names, and need no
    credentials. docs/render-farm.md tells how to set them up.
    """
    credentials = session.credentials()
    root = options.directory / root
    settings = _defaults(options, root, bucket, region, parallelism)
    ways = _ways(mq, anywhere=allow_private_callbacks)
    with (
        listen(host, port, signed=credentials is not None) as listener,
        _crew(executor, advertise, listener, parallelism) as crew,
    ):
        asyncio.run(_serve(options, root, listener, settings, _Parts(credentials, ways, crew)))
    return 0


@dataclass(frozen=True, slots=True)
class _Parts:
    """Whose calls are let in, where callbacks may go, and who renders when it is not this machine."""

    credentials: Credentials | None
    ways: Ways
    crew: Crew | None


@contextmanager
def _crew(
    executor: str | None, advertise: str | None, listener: socket.socket, parallelism: int | None
) -> Iterator[Crew | None]:
    """Give who renders on other machines, while the block runs."""
    if executor is None:
        if advertise is not None:
            raise UsageError("--advertise says where other machines find this one", advice="add --executor")
        yield None
        return
    from reconciler.service.farm import Crew

    address = _advertised(advertise, listener.getsockname())
    try:
        from reconciler.service.dask_executor import Cluster
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed", advice="pip install 'reconciler[dask]'") from None
    with Cluster.connect(executor) as cluster:
        yield Crew(cluster.executor, address, cluster.places if parallelism is None else lambda: parallelism)


def _advertised(url: str | None, listening: tuple[Any, ...]) -> str:
    """Return the address at which other machines find this one. Raises UsageError when that cannot be known."""
    if url is None:
        host, port = listening[:2]
        if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
            advice = "add --advertise http://NAME:PORT, as the other machines know this one"
            raise UsageError(f"{host} is no address at which other machines find this one", advice=advice)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    address = url.removesuffix("/")
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"--advertise {url} is not the address of a service", advice="write it as http://HOST:PORT, without a path"
        )
    return address


def _ways(mq: str | None, *, anywhere: bool) -> Ways:
    """Return where callbacks may go."""
    from reconciler.service.carriers import Ways
    from reconciler.service.reach import everything, public_only

    reach = everything if anywhere else public_only
    if mq is None:
        return Ways(reach)
    from reconciler.service.mq import Broker

    try:
        return Ways(reach, Broker.of(mq))
    except ValueError as error:
        advice = "write it as amqp://USER:PASSWORD@HOST:PORT/VHOST"
        raise UsageError(f"--mq is not the address of an AMQP broker: {error}", advice=advice) from None


def _defaults(
    options: Globals, root: Path, bucket: str | None, region: str | None, parallelism: int | None
) -> tuple[str, str, int]:
    """Fill in from the project in ``root``, when it is one."""
    if (root / "reconciler.yaml").exists():
        from reconciler.project import load

        project = load(root, environment=options.environment, variables=options.variables, environ=dict(os.environ))
        return bucket or project.bucket, region or project.region, parallelism or project.parallelism
    if bucket is None:
        raise UsageError("there is no project in that folder, so the bucket is not known", advice="add --bucket")
    return bucket, region or "ap-chongqing", parallelism or 4


async def _serve(
    options: Globals,
    root: Path,
    listener: socket.socket,
    settings: tuple[str, str, int],
    parts: _Parts,
) -> None:
    import uvicorn

    from reconciler.service import Service
    from reconciler.service.protocol import BoundedProtocol

    bucket, region, parallelism = settings
    credentials = parts.credentials
    async with Service(
        root,
        bucket=bucket,
        region=region,
        concurrency=parallelism,
        work=True,
        credentials=credentials,
        ways=parts.ways,
        crew=parts.crew,
    ) as service:
        level = "info" if options.verbose else "warning"
        config = uvicorn.Config(
            service.app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_level=level,
            server_header=False,
            date_header=False,
        )
        server = uvicorn.Server(config)
        host, port = listener.getsockname()[:2]
        if credentials is None:
            click.echo(_OPEN, err=True)  # also with --quiet
        checked = "signatures are checked" if credentials else "NO signature is checked"
        session.say(options, f"Serving {bucket} ({region}) on http://{host}:{port}; {checked}. Ctrl-C ends it.")
        await server.serve(sockets=[listener])
