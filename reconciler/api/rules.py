"""What the API's documents demand beyond types, and what they allow but a person surely did not mean.

The one entry to every rule: for manifests, which point at the line of ``Violation.path``, and for the service, which
answers with ``wire_message``. Rules of encoding parameters, watermarks, placement, templates and callbacks are in the
``rules_*`` modules.
Whatever needs the world – does the source exist, is it in the right bucket, what does a template hold – is not here.

Source: reference/video-synthesis.md §2, §4 and §6, billing-and-limits.md §2, cos-objects.md §1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.api import codecs
from reconciler.api.codecs import (
    canonical_codec,
    canonical_format,
    default_audio_codec,
    default_video_codec,
    extension,
)
from reconciler.api.messages import TAG, JobRequest, Operation, VideoSynthesis
from reconciler.api.queues import QUEUE_NAME_LENGTH, QUEUE_STATES, QueueUpdate
from reconciler.api.rules_callback import call_back_rules, notify_rules
from reconciler.api.rules_placement import placement_rules
from reconciler.api.rules_template import template_rules
from reconciler.api.rules_transcode import transcode_rules
from reconciler.api.rules_watermark import background_sizes, digital_watermark_rules, watermark_rules
from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.violations import (
    Range,
    Violation,
    at_most,
    audited,
    blank,
    error,
    one_of,
    required,
    show,
    under,
    warning,
    wire_message,
    within,
)
from reconciler.api.watermark import Watermark

__all__ = [
    "Violation",
    "canonical_codec",
    "canonical_format",
    "check_object",
    "check_operation",
    "check_queue",
    "check_received",
    "check_request",
    "check_template",
    "check_transcode",
    "check_watermark",
    "default_audio_codec",
    "default_video_codec",
    "expand_object",
    "extension",
    "wire_message",
]

WATERMARKS: Final = 3
USER_DATA_LENGTH: Final = 1024
KEY_BYTES: Final = 850
WILDCARDS: Final = ("ext", "jobid")

_JOB_LEVEL: Final = Range(0, 2)
_WILDCARD: Final = re.compile(r"\$\{([^{}]*)\}")
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_VIDEO_SUFFIXES: Final = frozenset(map(extension, codecs.VIDEO_CONTAINERS))


def check_operation(operation: Operation) -> tuple[Violation, ...]:
    """Check one job; paths are relative to the operation. Region and bucket of its output may be missing."""
    return audited(operation, _operation(operation))


def check_request(request: JobRequest) -> tuple[Violation, ...]:
    """Check a whole request, its operations under ``("operation", index)``."""
    found = list(audited(request, _request(request), skip=("operation",)))
    for index, operation in enumerate(request.operation):
        found += under(check_operation(operation), "operation", index)
    return tuple(found)


def check_received(request: JobRequest) -> tuple[Violation, ...]:
    """Check a whole request as a service receives it: every output names its region and bucket.

    It was read from XML, so nothing in it is empty, and nothing holds what XML cannot carry.
    """
    found = list(_request(request))
    for index, operation in enumerate(request.operation):
        found += under(_operation(operation), "operation", index)
        found += under(_place(operation), "operation", index, "output")
    return tuple(found)


def check_transcode(transcode: Transcode, *, composition: bool = True) -> tuple[Violation, ...]:
    """Check encoding parameters, inline or of a template.

    With ``composition`` they must hold a canvas, as every VideoSynthesis job demands; an ordinary transcode template
    on the service need not.
    """
    return audited(transcode, transcode_rules(transcode, composition=composition))


def check_watermark(watermark: Watermark) -> tuple[Violation, ...]:
    """Check one watermark, inline or of a template."""
    return audited(watermark, watermark_rules(watermark))


def check_template(template: TemplateRequest) -> tuple[Violation, ...]:
    """Check a template as it is created or replaced on a service."""
    return audited(template, template_rules(template))


def check_queue(update: QueueUpdate) -> tuple[Violation, ...]:
    """Check a change of a queue."""
    return audited(update, _queue(update))


def check_object(key: str, container: str | None = None) -> tuple[Violation, ...]:
    """Check the key of a result; ``container`` is its format when that is known. Paths are empty."""
    return tuple(_object(key, container))


def is_unsafe_key(key: str) -> bool:
    """Tell whether a key has a segment that clients resolve away, or a character that no line can show."""
    return not {".", ".."}.isdisjoint(key.split("/")) or any(ord(character) < 32 for character in key)


def expand_object(pattern: str, *, ext: str | None = None, job_id: str | None = None) -> str:
    """Replace ``${ext}`` and ``${jobid}`` in the key of a result; a wildcard without a value stays as it is."""
    values = {"ext": ext, "jobid": job_id}
    return _WILDCARD.sub(lambda match: values.get(match[1]) or match[0], pattern)


# One operation.


def _operation(operation: Operation) -> Iterator[Violation]:
    transcode = None if operation.transcode_template_id else operation.transcode
    yield from _encoding(operation)
    if transcode:
        yield from under(transcode_rules(transcode, composition=True), "transcode")
    yield from under(_synthesis(operation.video_synthesis, transcode), "video_synthesis")
    yield from _watermarks(operation, transcode)
    if operation.digital_watermark:
        yield from under(digital_watermark_rules(operation.digital_watermark), "digital_watermark")
    container = transcode.container.format if transcode and transcode.container else None
    if not blank(operation.output.object):
        yield from under(_object(operation.output.object, container), "output", "object")
    yield from _user_data(operation.user_data)
    yield from within(operation, "job_level", _JOB_LEVEL)


def _encoding(operation: Operation) -> Iterator[Violation]:
    if operation.transcode_template_id and operation.transcode:
        message = "`transcode` is ignored because `transcode_template_id` is given"
        yield warning(("transcode",), message, "leave one of the two out")
    elif not operation.transcode_template_id and operation.transcode is None:
        message = "`transcode` is missing: encoding parameters come from it or from `transcode_template_id`"
        yield error(("transcode",), message, "write transcode: {container: …, video: …}")


def _synthesis(synthesis: VideoSynthesis, transcode: Transcode | None) -> Iterator[Violation]:
    if not synthesis.splice_info:
        yield error(("splice_info",), "`splice_info` is empty: there is nothing to compose", "write a url at least")
    pixfmt = transcode.video.pixfmt if transcode and transcode.video else None
    subsampled = pixfmt is None or "420" in pixfmt or pixfmt == "auto"
    found = placement_rules(synthesis.splice_info, _canvas(transcode), subsampled=subsampled)
    yield from under(found, "splice_info")
    if synthesis.keep_audio_track and transcode:
        yield from _silenced(transcode)


def _silenced(transcode: Transcode) -> Iterator[Violation]:
    if transcode.audio is None:
        message = "true has no effect: without `transcode.audio` the output has no sound"
        yield warning(("keep_audio_track",), message, "write transcode: {audio: {codec: aac}}")
    elif transcode.audio.remove:
        message = "true has no effect: `transcode.audio.remove` is true, so the output has no sound"
        yield warning(("keep_audio_track",), message, "leave remove out")


def _canvas(transcode: Transcode | None) -> tuple[int, int] | None:
    video = transcode.video if transcode else None
    if video is None or video.width is None or video.height is None:
        return None
    return video.width, video.height


def _watermarks(operation: Operation, transcode: Transcode | None) -> Iterator[Violation]:
    yield from at_most("watermark_template_id", operation.watermark_template_id, WATERMARKS)
    if operation.watermark_template_id:
        if operation.watermark:
            message = "`watermark` is ignored because `watermark_template_id` is given"
            yield warning(("watermark",), message, "leave one of the two out")
        return
    yield from at_most("watermark", operation.watermark, WATERMARKS)
    canvas = _canvas(transcode)
    for index, watermark in enumerate(operation.watermark or ()):
        found = [*watermark_rules(watermark), *_unslidable(watermark, transcode)]
        if canvas:
            found += background_sizes(watermark, canvas)
        yield from under(found, "watermark", index)


def _unslidable(watermark: Watermark, transcode: Transcode | None) -> Iterator[Violation]:
    slide, video = watermark.slide_config, transcode.video if transcode else None
    if slide is None or slide.slide_mode != "ScrollFromLeft" or video is None or video.codec is None:
        return
    if codecs.canonical_codec(video.codec) == "H.265":
        path = ("slide_config", "slide_mode")
        yield error(path, "ScrollFromLeft does not work with H.265", "use the codec H.264, or leave slide_config out")


def _user_data(text: str | None) -> Iterator[Violation]:
    if text is None:
        return
    if len(text) > USER_DATA_LENGTH:
        message = f"{len(text)} characters are too many; `user_data` takes {USER_DATA_LENGTH}"
        yield error(("user_data",), message)
    if strange := _NOT_PRINTABLE.search(text):
        message = (
            f"{strange[0]!r} at position {strange.start() + 1} is not printable ASCII; `user_data` takes only that"
        )
        yield error(("user_data",), message, "write A-Z, a-z, digits and signs, no line break")


def _place(operation: Operation) -> Iterator[Violation]:
    for key in ("region", "bucket"):
        yield from required(operation.output, key, "it says where the result is stored")


# The key of a result.


def _object(key: str, container: str | None) -> Iterator[Violation]:
    size = len(key.encode(errors="surrogatepass"))
    if size > KEY_BYTES:
        yield error((), f"{show(key)} has {size} bytes; a key takes {KEY_BYTES}")
    if not key:
        yield error((), "the key is empty")
    if key.startswith("/"):
        yield error((), f"{show(key)} starts with /; a key does not", f"write {show(key.lstrip('/')) or 'a name'}")
    if is_unsafe_key(key):
        yield error((), f"{show(key)} has a segment . or .., or a control character; clients would change it")
    for wildcard in _WILDCARD.finditer(key):
        if wildcard[1] not in WILDCARDS:
            yield warning((), f"{wildcard[0]} is not replaced; only ${{ext}} and ${{jobid}} are")
    yield from _suffix(key, container)


def _suffix(key: str, container: str | None) -> Iterator[Violation]:
    """Warn about a key whose suffix names another container than the one that is written."""
    name = codecs.canonical_format(container or "")
    found = key.rpartition(".")[2].lower()
    if name not in codecs.CONTAINERS or found == codecs.extension(name):
        return
    if found in _VIDEO_SUFFIXES:
        yield warning((), f"{show(key)} ends in .{found}, but the container is {name}", "write ${ext} as the suffix")


# What surrounds the operations.


def _request(request: JobRequest) -> Iterator[Violation]:
    if request.tag != TAG:
        yield error(("tag",), f"{show(request.tag)} is unknown; `tag` must be {TAG}")
    if not request.operation:
        yield error(("operation",), "`operation` is missing: there is nothing to do")
    yield from call_back_rules(request)


# A queue.


def _queue(update: QueueUpdate) -> Iterator[Violation]:
    yield from required(update, "name", "the documents demand it")
    if len(update.name) > QUEUE_NAME_LENGTH:
        message = f"{show(update.name)} has {len(update.name)} characters; `name` takes {QUEUE_NAME_LENGTH}"
        yield error(("name",), message)
    yield from one_of("state", update.state, QUEUE_STATES)
    yield from required(update, "notify_config", "the documents demand it", "write NotifyConfig with State Off")
    if update.notify_config is not None:
        yield from under(notify_rules(update.notify_config), "notify_config")
