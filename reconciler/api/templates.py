"""Transcode and watermark templates on the wire: parameters that the service keeps under an id.

Source: reference/jobs-queues-templates.md §6 to §9. Other tags that ``/template`` takes belong to other products.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from reconciler.api.node import Integer, Node, Text
from reconciler.api.transcode import (
    Audio,
    AudioMix,
    Container,
    TimeInterval,
    Transcode,
    TransConfig,
    Video,
)
from reconciler.api.watermark import Watermark

TRANSCODE: Final = "Transcode"
WATERMARK: Final = "Watermark"
CUSTOM: Final = "Custom"
OFFICIAL: Final = "Official"


class TemplateRequest(Node):
    """The body of ``POST /template`` and ``PUT /template/<id>``; root element ``Request``.

    A transcode template has the children of ``Transcode``, a watermark template has ``watermark``.
    """

    tag: Text = Field(description="Transcode or Watermark.")
    name: Text = Field(description="At most 64 of Chinese, letters, digits, _ - *.")
    container: Container | None = Field(None, description="File format.")
    video: Video | None = Field(None, description="Video encoding; without it the video is dropped.")
    time_interval: TimeInterval | None = Field(None, description="The part that is kept.")
    audio: Audio | None = Field(None, description="Sound encoding.")
    trans_config: TransConfig | None = Field(None, description="Switches of the transcoding stage.")
    audio_mix: AudioMix | None = Field(None, description="A sound mixed in.")
    audio_mix_array: tuple[AudioMix, ...] | None = Field(None, description="At most two sounds mixed in.")
    watermark: Watermark | None = Field(None, description="The watermark.")

    @classmethod
    def of(cls, name: str, content: Transcode | Watermark) -> TemplateRequest:
        """Return the request that keeps ``content`` under a name."""
        if isinstance(content, Watermark):
            return cls(tag=WATERMARK, name=name, watermark=content)
        return cls(tag=TRANSCODE, name=name, **dict(content))

    @property
    def transcode(self) -> Transcode:
        """The encoding parameters of a transcode template."""
        return Transcode(**{field: getattr(self, field) for field in Transcode.model_fields})


class Template(Node):
    """One template as every reply describes it.

    Some of the documents' samples print the children of ``trans_tpl`` directly below the template; ``content`` reads
    both.
    """

    tag: Text = Field(description="Transcode or Watermark.")
    name: Text = Field(description="Name.")
    template_id: Text = Field(description="t1 and 32 hexadecimal digits.")
    bucket_id: Text | None = Field(None, description="Bucket, NAME-APPID.")
    category: Text | None = Field(None, description="Custom or Official.")
    create_time: Text | None = Field(None, description="YYYY-MM-DDTHH:MM:SS+0800.")
    update_time: Text | None = Field(None, description="The same.")
    trans_tpl: Transcode | None = Field(None, description="The content of a transcode template.")
    watermark: Watermark | None = Field(None, description="The content of a watermark template.")
    container: Container | None = Field(None, description="Read only, see above.")
    video: Video | None = Field(None, description="Read only, see above.")
    time_interval: TimeInterval | None = Field(None, description="Read only, see above.")
    audio: Audio | None = Field(None, description="Read only, see above.")
    trans_config: TransConfig | None = Field(None, description="Read only, see above.")
    audio_mix: AudioMix | None = Field(None, description="Read only, see above.")
    audio_mix_array: tuple[AudioMix, ...] | None = Field(None, description="Read only, see above.")

    @property
    def content(self) -> Transcode | Watermark | None:
        """What the template holds; None when the reply did not tell."""
        if self.watermark is not None or self.trans_tpl is not None:
            return self.watermark or self.trans_tpl
        direct = {field: getattr(self, field) for field in Transcode.model_fields}
        return Transcode(**direct) if any(value is not None for value in direct.values()) else None


class TemplateReply(Node):
    """The reply to ``POST /template`` and ``PUT /template/<id>``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    template: Template = Field(description="The template as it is now.")


class NonExistTIDs(Node):
    """Template ids asked for that do not exist."""

    template_id: tuple[Text, ...] | None = Field(None, description="The ids.")


class TemplatesReply(Node):
    """The reply to ``GET /template``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    total_count: Integer | None = Field(None, description="Templates in all.")
    page_number: Integer | None = Field(None, description="From 1.")
    page_size: Integer | None = Field(None, description="Templates a page.")
    template_list: tuple[Template, ...] | None = Field(None, description="The templates.")
    non_exist_tids: NonExistTIDs | None = Field(None, serialization_alias="NonExistTIDs", description="Unknown ids.")


class TemplateDeleted(Node):
    """The reply to ``DELETE /template/<id>``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    template_id: Text = Field(description="The id that is gone.")
