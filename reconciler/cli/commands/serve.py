"""``reconciler serve``: the embedded service on a socket."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import session
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.api.signing import Credentials
    from reconciler.cli import Globals


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
) -> int:
    """Serve the embedded implementation of the API, for reconciler and for any other client.

    Signatures are checked when TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are set; without them anyone who
    reaches the port may do anything, so only a loopback address is accepted.
    """
    credentials = session.credentials()
    if credentials is None and not _is_loopback(host):
        raise UsageError(
            f"without credentials no signature is checked, so {host} would be open to everyone",
            advice="set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or listen on 127.0.0.1",
        )
    root = options.directory / root
    settings = _defaults(options, root, bucket, region, parallelism)
    with _listening(host, port) as listener:
        asyncio.run(_serve(options, root, listener, settings, credentials))
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Take the address before anything else is begun."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason}", advice="choose another --port or --host"
        ) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
) -> None:
    import uvicorn

    from reconciler.service import Service

    bucket, region, parallelism = settings
    async with Service(
        root, bucket=bucket, region=region, concurrency=parallelism, work=True, credentials=credentials
    ) as service:
        level = "info" if options.verbose else "warning"
        server = uvicorn.Server(uvicorn.Config(service.app, log_level=level, server_header=False))
        host, port = listener.getsockname()[:2]
        checked = "signatures are checked" if credentials else "NO signature is checked"
        session.say(options, f"Serving {bucket} ({region}) on http://{host}:{port}; {checked}. Ctrl-C ends it.")
        await server.serve(sockets=[listener])
