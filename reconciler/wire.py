"""A resolved request as it is sent: object keys become URLs of the bucket, the output names bucket and region.

The reverse, URL → key, happens where manifests are resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from reconciler.api.messages import JobRequest, Operation
from reconciler.api.transcode import AudioMix, Transcode
from reconciler.api.watermark import Watermark


def object_url(key: str, bucket: str, region: str) -> str:
    """Return the URL of an object; reference/cos-objects.md §1."""
    return f"https://{bucket}.cos.{region}.myqcloud.com/{quote(key, safe='/-_.~')}"


def wire_request(request: Mapping[str, Any], *, bucket: str, region: str) -> JobRequest:
    """Return the request that ``POST /jobs`` takes for a resolved one under manifest keys."""
    parsed = JobRequest.model_validate(request)
    operations = tuple(_operation(operation, bucket, region) for operation in parsed.operation)
    return parsed.model_copy(update={"operation": operations})


def _operation(operation: Operation, bucket: str, region: str) -> Operation:
    def url(key: str) -> str:
        return object_url(key, bucket, region)

    synthesis = operation.video_synthesis
    placed = tuple(info.model_copy(update={"url": url(info.url)}) for info in synthesis.splice_info)
    update: dict[str, Any] = {
        "video_synthesis": synthesis.model_copy(update={"splice_info": placed}),
        "output": operation.output.model_copy(update={"bucket": bucket, "region": region}),
    }
    if operation.transcode:
        update["transcode"] = _transcode(operation.transcode, url)
    if operation.watermark:
        update["watermark"] = tuple(_watermark(mark, url) for mark in operation.watermark)
    return operation.model_copy(update=update)


def _transcode(transcode: Transcode, url: Callable[[str], str]) -> Transcode:
    def mixed(mix: AudioMix) -> AudioMix:
        return mix.model_copy(update={"audio_source": url(mix.audio_source)})

    update: dict[str, Any] = {}
    if transcode.audio_mix:
        update["audio_mix"] = mixed(transcode.audio_mix)
    if transcode.audio_mix_array:
        update["audio_mix_array"] = tuple(mixed(mix) for mix in transcode.audio_mix_array)
    return transcode.model_copy(update=update)


def _watermark(mark: Watermark, url: Callable[[str], str]) -> Watermark:
    if mark.image is None:
        return mark
    return mark.model_copy(update={"image": mark.image.model_copy(update={"url": url(mark.image.url)})})
