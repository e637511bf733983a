"""Pictures and texts drawn on the composed video, and the invisible digital watermark.

Source: reference/video-synthesis.md §2.6 and §2.7 (create-watermark-template and structure pages, the vendor's SDKs).
"""

from __future__ import annotations

from pydantic import Field

from reconciler.api.node import Bool, Integer, Node, Number, Text


class SlideConfig(Node):
    """A watermark that moves; its offsets then do not act."""

    slide_mode: Text | None = Field(None, description="Default (off) or ScrollFromLeft.")
    x_slide_speed: Integer | None = Field(None, description="0 to 10; default 0.")
    y_slide_speed: Integer | None = Field(None, description="0 to 10; default 0.")


class Image(Node):
    """A picture as a watermark."""

    url: Text = Field(description="Key or URL of the picture, in the same bucket.")
    mode: Text | None = Field(None, description="Original, Proportion (percent) or Fixed (pixels).")
    width: Integer | None = Field(None, description="Percent of the video's width, or pixels, by mode.")
    height: Integer | None = Field(None, description="Percent of the video's height, or pixels, by mode.")
    transparency: Integer | None = Field(None, description="Opacity in percent: 100 is fully opaque.")
    background: Bool | None = Field(None, description="Behind the video instead of on it; default false.")


class TextMark(Node):
    """A text as a watermark."""

    text: Text = Field(description="At most 64 characters: Chinese, English letters, digits, _ - *.")
    font_size: Integer | None = Field(None, description="Pixels, 5 to 100.")
    font_type: Text | None = Field(None, description="Font file, such as arial.ttf or simhei.ttf.")
    font_color: Text | None = Field(None, description="0xRRGGBB.")
    transparency: Integer | None = Field(None, description="Opacity in percent: 100 is fully opaque.")


class Watermark(Node):
    """One visible watermark."""

    type: Text = Field(description="Text or Image.")
    pos: Text | None = Field(None, description="Anchor: TopLeft, Top, TopRight, Left, Center, Right, BottomLeft, …")
    loc_mode: Text | None = Field(None, description="Relativity (percent) or Absolute (pixels).")
    dx: Number | None = Field(None, description="Horizontal offset from the anchor, inwards; default 0.")
    dy: Number | None = Field(None, description="Vertical offset from the anchor, inwards; default 0.")
    start_time: Number | None = Field(None, description="Seconds; default 0.")
    end_time: Number | None = Field(None, description="Seconds; default the end of the video.")
    slide_config: SlideConfig | None = Field(None, description="Movement; the offsets then do not act.")
    image: Image | None = Field(None, description="The picture, for type Image.")
    text: TextMark | None = Field(None, description="The text, for type Text.")


class DigitalWatermark(Node):
    """An invisible watermark."""

    message: Text = Field(description="At most 64 characters: Chinese, English letters, digits, _ - *.")
    type: Text | None = Field(None, description="Text.")
    version: Text | None = Field(None, description="V1.")
    ignore_error: Bool | None = Field(None, description="Go on when embedding fails.")
    state: Text | None = Field(None, description="Replies only: Running, Success or Failed.")
