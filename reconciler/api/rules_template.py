"""What the documents demand of a template that the service keeps.

Source: reference/jobs-queues-templates.md §6 and §7. Encoding parameters and watermarks have their rules in
``rules_transcode`` and ``rules_watermark``; an ordinary transcode template need not hold a canvas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.api.rules_transcode import transcode_rules
from reconciler.api.rules_watermark import watermark_rules
from reconciler.api.templates import TRANSCODE, WATERMARK, TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.violations import Violation, error, named, one_of, required, show, under

_ELSEWHERE: Final = (
    *("Animation", "Snapshot", "TranscodePro", "HighSpeedHd", "Concat", "VideoProcess", "VideoMontage"),
    *("VoiceSeparate", "SuperResolution", "PicProcess", "Tts", "SmartCover", "SpeechRecognition"),
    *("NoiseReduction", "VideoEnhance", "VideoTargetRec", "ImageOCR"),
)
"""Tags of other products that ``/template`` takes as well."""


def template_rules(request: TemplateRequest) -> Iterator[Violation]:
    """Check a template as it is created or replaced."""
    yield from required(request, "name", "a template is found by it")
    yield from named("name", request.name)
    if request.tag == TRANSCODE:
        yield from transcode_rules(request.transcode, composition=False)
        yield from _foreign(request, ("watermark",))
    elif request.tag == WATERMARK:
        yield from required(request, "watermark", "the template is one of a watermark")
        if request.watermark is not None:
            yield from under(watermark_rules(request.watermark), "watermark")
        yield from _foreign(request, tuple(Transcode.model_fields))
    elif request.tag in _ELSEWHERE:
        message = f"templates with the tag {request.tag} are of another product; `tag` must be Transcode or Watermark"
        yield error(("tag",), message)
    else:
        yield from one_of("tag", request.tag, (TRANSCODE, WATERMARK))


def _foreign(request: TemplateRequest, keys: tuple[str, ...]) -> Iterator[Violation]:
    for key in keys:
        if getattr(request, key) is not None:
            yield error((key,), f"`{key}` has no place in a template with the tag {show(request.tag)}", "leave it out")
