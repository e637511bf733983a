"""``reconciler serve``: the embedded service on a socket."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import session
from reconciler.cli.listening import listen
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.api.signing import Credentials
    from reconciler.cli import Globals
    from reconciler.service.carriers import Ways


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
    mq: str | None,
    allow_private_callbacks: bool,
) -> int:
    """Serve the embedded implementation of the API, for reconciler and for any other client.

    Signatures are checked when TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are set; without them anyone who
    reaches the port may do anything, so only a loopback address is accepted. With TENCENTCLOUD_SECURITY_TOKEN too they
    are temporary credentials: every call must carry the token.
    """
    credentials = session.credentials()
    root = options.directory / root
    settings = _defaults(options, root, bucket, region, parallelism)
    ways = _ways(mq, anywhere=allow_private_callbacks)
    with listen(host, port, signed=credentials is not None) as listener:
        asyncio.run(_serve(options, root, listener, settings, credentials, ways))
    return 0


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
    credentials: Credentials | None,
    ways: Ways,
) -> None:
    import uvicorn

    from reconciler.service import Service
    from reconciler.service.protocol import BoundedProtocol

    bucket, region, parallelism = settings
    async with Service(
        root, bucket=bucket, region=region, concurrency=parallelism, work=True, credentials=credentials, ways=ways
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
