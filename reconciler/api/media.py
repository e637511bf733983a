"""What a finished output is: ``MediaInfo`` (ffprobe's values under the API's names) and ``MediaResult``.

Source: reference/video-synthesis.md §3.4 and §3.5. Times are seconds, bitrates kbps, both with
six decimals on the wire.
"""

from __future__ import annotations

from pydantic import Field

from reconciler.api.node import Integer, Node, Number, Text


class Format(Node):
    """The file as a whole."""

    num_stream: Integer | None = Field(None, description="Number of streams.")
    num_program: Integer | None = Field(None, description="Number of programs.")
    format_name: Text | None = Field(None, description="Short names, such as mov,mp4,m4a,3gp,3g2,mj2.")
    format_long_name: Text | None = Field(None, description="Name for people.")
    start_time: Number | None = Field(None, description="Seconds.")
    duration: Number | None = Field(None, description="Seconds.")
    bitrate: Number | None = Field(None, description="kbps.")
    size: Integer | None = Field(None, description="Bytes.")


class VideoStream(Node):
    """One video stream."""

    index: Integer | None = Field(None, description="Index in the file.")
    codec_name: Text | None = Field(None, description="Such as h264 or hevc.")
    codec_long_name: Text | None = Field(None, description="Codec name for people.")
    codec_time_base: Text | None = Field(None, description="Such as 1/12800.")
    codec_tag_string: Text | None = Field(None, description="Such as avc1.")
    codec_tag: Text | None = Field(None, description="Such as 0x31637661.")
    color_primaries: Text | None = Field(None, description="Colour primaries.")
    color_range: Text | None = Field(None, description="Colour range.")
    color_transfer: Text | None = Field(None, description="Transfer characteristics.")
    profile: Text | None = Field(None, description="Such as High.")
    width: Integer | None = Field(None, description="Pixels.")
    height: Integer | None = Field(None, description="Pixels.")
    has_b_frame: Integer | None = Field(
        None, serialization_alias="HasBFrame", description="Number of frames of reordering."
    )
    ref_frames: Integer | None = Field(None, description="Number of reference frames.")
    sar: Text | None = Field(None, description="Sample aspect ratio; absent when unknown.")
    dar: Text | None = Field(None, description="Display aspect ratio; absent when unknown.")
    pix_format: Text | None = Field(None, description="Such as yuv420p.")
    field_order: Text | None = Field(None, description="Such as progressive.")
    level: Integer | None = Field(None, description="Codec level, such as 31.")
    fps: Number | None = Field(None, description="Frames per second.")
    avg_fps: Text | None = Field(None, description="Average frames per second, such as 25/1.")
    timebase: Text | None = Field(None, description="Such as 1/12800.")
    start_time: Number | None = Field(None, description="Seconds.")
    duration: Number | None = Field(None, description="Seconds.")
    bitrate: Number | None = Field(None, description="kbps.")
    num_frames: Integer | None = Field(None, description="Number of frames.")
    language: Text | None = Field(None, description="Such as und.")
    rotation: Number | None = Field(None, description="Degrees.")


class AudioStream(Node):
    """One audio stream."""

    index: Integer | None = Field(None, description="Index in the file.")
    codec_name: Text | None = Field(None, description="Such as aac.")
    codec_long_name: Text | None = Field(None, description="Codec name for people.")
    codec_time_base: Text | None = Field(None, description="Such as 1/44100.")
    codec_tag_string: Text | None = Field(None, description="Such as mp4a.")
    codec_tag: Text | None = Field(None, description="Such as 0x6134706d.")
    sample_fmt: Text | None = Field(None, description="Such as fltp.")
    sample_rate: Integer | None = Field(None, description="Hz.")
    channel: Integer | None = Field(None, description="Number of channels.")
    channel_layout: Text | None = Field(None, description="Such as stereo.")
    timebase: Text | None = Field(None, description="Such as 1/44100.")
    start_time: Number | None = Field(None, description="Seconds.")
    duration: Number | None = Field(None, description="Seconds.")
    bitrate: Number | None = Field(None, description="kbps.")
    language: Text | None = Field(None, description="Such as und.")


class SubtitleStream(Node):
    """One subtitle stream."""

    index: Integer | None = Field(None, description="Index in the file.")
    language: Text | None = Field(None, description="Such as und.")


class Stream(Node):
    """The streams of the file by kind."""

    video: tuple[VideoStream, ...] | None = Field(None, description="Video streams.")
    audio: tuple[AudioStream, ...] | None = Field(None, description="Audio streams.")
    subtitle: tuple[SubtitleStream, ...] | None = Field(None, description="Subtitle streams.")


class MediaInfo(Node):
    """Media information of the output file; absent until the job is complete."""

    format: Format | None = Field(None, description="The file as a whole.")
    stream: Stream | None = Field(None, description="The streams of the file.")


class Md5Info(Node):
    """The content's digest of one output file."""

    object_name: Text | None = Field(None, description="Key.")
    md5: Text | None = Field(None, description="Lower-case hexadecimal MD5 of the content.")


class OutputFile(Node):
    """Where the output was written."""

    bucket: Text | None = Field(None, description="Bucket, NAME-APPID.")
    region: Text | None = Field(None, description="Region of the bucket.")
    object_name: tuple[Text, ...] | None = Field(None, description="Keys; several for hls and dash.")
    object_prefix: Text | None = Field(None, description="Common prefix of several keys.")
    md5_info: tuple[Md5Info, ...] | None = Field(None, description="Digest of each file.")


class MediaResult(Node):
    """Basic information of the output file; absent until the job is complete."""

    output_file: OutputFile | None = Field(None, description="Where the output was written.")
