"""How a job is told, by every call about jobs and by callbacks: its ``JobsDetail`` as text.

The operation is stored as the XML in which it is told, so a reply is put together from texts; building the models and
writing them again takes thirty times as long.

Source: reference/video-synthesis.md §3.
"""

from __future__ import annotations

import re
import time
from typing import Final

from reconciler.api import xml
from reconciler.api.messages import SUCCESS
from reconciler.service.queue import StoredJob

_CHINA: Final = 8 * 3600
_START: Final = "<Operation>"
_END: Final = "</Operation>"
_MARKED: Final = "</DigitalWatermark>"
_MARK: Final = re.compile(r"(<DigitalWatermark>.*?)(?:<State>[^<]*</State>)?</DigitalWatermark>", re.DOTALL)
_MARK_STATE: Final = "<State>Failed</State>"


def jobs_detail(job: StoredJob) -> str:
    """Return one job as an element ``JobsDetail``: the echo of its operation, and the results once it is complete."""
    return (
        f"<JobsDetail><Code>{xml.escaped(job.code or SUCCESS)}</Code>"
        f"<Message>{xml.escaped(job.message or job.notes or '')}</Message>"
        f"<JobId>{job.id}</JobId><State>{job.state}</State><Progress>{job.progress}</Progress>"
        f"<CreationTime>{wire_time(job.created_at)}</CreationTime><StartTime>{wire_time(job.started_at)}</StartTime>"
        f"<EndTime>{wire_time(job.ended_at)}</EndTime><QueueId>{job.queue}</QueueId><Tag>{xml.escaped(job.tag)}</Tag>"
        f"{_operation(job)}{job.media_info or ''}{job.media_result or ''}{_END}{_engine(job)}</JobsDetail>"
    )


def wire_time(seconds: int | None) -> str:
    """Write a time as the API does, in China's time; ``-`` for what has not happened yet."""
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S+0800", time.gmtime(seconds + _CHINA))


def _engine(job: StoredJob) -> str:
    """Return which FFmpeg made a finished job's result: a node of ours, which other clients pass over."""
    return f"<Engine>{xml.escaped(job.engine)}</Engine>" if job.engine else ""


def _operation(job: StoredJob) -> str:
    """Cut the one operation, without its end, out of a request as ``api.xml`` writes it: no text holds a bare <.

    A digital watermark is not embedded; a job that went on without it says so.
    """
    request = job.request
    told = request[request.index(_START) : request.rindex(_END)]
    if job.state == SUCCESS and _MARKED in told:
        return _MARK.sub(rf"\g<1>{_MARK_STATE}{_MARKED}", told)
    return told
