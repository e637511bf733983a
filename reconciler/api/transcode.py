"""How the composed picture and sound are cut, encoded and packed: ``Transcode`` and everything below it.

Source: reference/video-synthesis.md §2.4 and §2.5 (documents 1045/49911, 1045/49945, and the vendor's SDKs). Ranges
and combinations are checked by ``rules``; here is only what a node is called and what kind of value it holds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reconciler.api.node import Bool, Integer, Node, Number, Text


class TimeInterval(Node):
    """The part of the composed result that is kept."""

    start: Number | None = Field(None, description="Seconds from the beginning; default 0.")
    duration: Number | None = Field(None, description="Seconds to keep; default everything.")


class ClipConfig(Node):
    """Segments of an hls or dash output."""

    duration: Number | None = Field(None, description="Segment length in seconds; default 5. Only for hls and dash.")


class Container(Node):
    """The file format of the output."""

    format: Text = Field(description="mp4, mkv, mov, avi, flv, ts, webm, hls or dash.")
    clip_config: ClipConfig | None = Field(None, description="Segments of hls and dash.")


class ColorParam(Node):
    """Colour description of the encoded video; known from an SDK only, values undocumented."""

    color_range: Text | None = Field(None, description="Colour range.")
    color_space: Text | None = Field(None, description="Colour space.")
    color_trc: Text | None = Field(None, description="Transfer characteristics.")
    color_primaries: Text | None = Field(None, description="Colour primaries.")


class Video(Node):
    """The canvas and how it is encoded. Without it the video stream is dropped."""

    codec: Text | None = Field(None, description="H.264 (default), H.265, VP8, VP9 or AV1; must fit the container.")
    width: Integer | None = Field(None, description="Canvas width in pixels: even, 128 to 4096. Required.")
    height: Integer | None = Field(None, description="Canvas height in pixels: even, 128 to 4096. Required.")
    fps: Number | None = Field(None, description="Frames per second, above 0, at most 60.")
    remove: Bool | None = Field(None, description="Drop the video stream; default false.")
    profile: Text | None = Field(None, description="H.264 profile: baseline, main, high (default) or auto.")
    bitrate: Integer | Literal["auto"] | None = Field(None, description="kbps, 10 to 50000, or auto.")
    crf: Number | None = Field(None, description="Quality, above 0, at most 51; bitrate is then ignored.")
    gop: Integer | None = Field(None, description="Frames between key frames, at most 100000.")
    preset: Text | None = Field(None, description="H.264: veryfast, fast, medium (default), slow, slower.")
    bufsize: Integer | None = Field(None, description="Buffer in Kb, 1000 to 128000.")
    maxrate: Integer | None = Field(None, description="Peak bitrate in kbps, 10 to 50000.")
    pixfmt: Text | None = Field(None, description="Pixel format, such as yuv420p or yuv420p10le.")
    long_short_mode: Bool | None = Field(None, description="Adapt to the longer side; default false.")
    rotate: Number | None = Field(None, description="Degrees, 0 up to but not including 360.")
    roi: Text | None = Field(None, description="Region of interest: none (default), low, medium, high.")
    crop: Text | None = Field(None, description="width:height:left:top in pixels, such as 1280:800:0:140.")
    interlaced: Bool | None = Field(None, description="Encode interlaced; default false.")
    hls_ts_time: Number | None = Field(None, description="Segment seconds; superseded by container.clip_config.")
    scan_mode: Text | None = Field(None, description="Undocumented; appears in old samples only.")
    color_param: ColorParam | None = Field(None, description="Colour description; known from an SDK only.")
    std_ext_info: Text | None = Field(None, description="Free text such as single-pps=1; known from an SDK only.")


class Audio(Node):
    """How the sound is encoded. Without it the output has no sound."""

    codec: Text | None = Field(None, description="aac (default), mp3, flac, amr, Vorbis, opus or pcm_s16le.")
    samplerate: Integer | None = Field(None, description="Hz, such as 44100 (default) or 48000.")
    bitrate: Integer | None = Field(None, description="kbps, 8 to 1000.")
    channels: Integer | None = Field(None, description="Number of channels; what is allowed depends on the codec.")
    remove: Bool | None = Field(None, description="Drop the sound; default false.")
    keep_two_tracks: Bool | None = Field(None, description="Keep two tracks; default false, no effect with H.265.")
    switch_track: Bool | None = Field(None, description="Swap tracks; default false, no effect with H.265.")
    sample_format: Text | None = Field(None, description="Sample format, such as fltp or s16.")


class HlsEncrypt(Node):
    """Encryption of hls segments."""

    is_hls_encrypt: Bool | None = Field(None, description="Encrypt; default false, only for hls.")
    uri_key: Text | None = Field(None, description="Key address; used when encrypting.")


class DashEncrypt(Node):
    """Encryption of dash segments."""

    is_encrypt: Bool | None = Field(None, description="Encrypt; default false, only for dash.")
    uri_key: Text | None = Field(None, description="Key address; used when encrypting.")


class AigcMetadata(Node):
    """Labels of generated content."""

    label: Text | None = Field(None, description="Label.")
    content_producer: Text | None = Field(None, description="Who produced the content.")
    produce_id: Text | None = Field(
        None, serialization_alias="ProduceID", description="Number of the content; required in this node."
    )
    reserved_code1: Text | None = Field(None, description="Reserved, Base64.")
    reserved_code2: Text | None = Field(None, description="Reserved, Base64.")
    content_propagator: Text | None = Field(None, description="Who propagates the content.")
    propagate_id: Text | None = Field(None, serialization_alias="PropagateID", description="Number of the propagation.")


class TransConfig(Node):
    """Switches of the transcoding stage."""

    adj_dar_method: Text | None = Field(None, description="Other aspect ratio: scale, crop, pad or none (default).")
    is_check_reso: Bool | None = Field(None, description="Compare the resolution with the source; default false.")
    reso_adj_method: Integer | None = Field(None, description="0 use the source's resolution, 1 fail.")
    is_check_video_bitrate: Bool | None = Field(None, description="Compare the video bitrate; default false.")
    video_bitrate_adj_method: Integer | None = Field(None, description="0 use the source's bitrate, 1 fail.")
    is_check_audio_bitrate: Bool | None = Field(None, description="Compare the audio bitrate; default false.")
    audio_bitrate_adj_method: Integer | None = Field(None, description="0 use the source's bitrate, 1 fail.")
    is_check_video_fps: Bool | None = Field(None, description="Compare the frame rate; default false.")
    video_fps_adj_method: Integer | None = Field(None, description="0 use the source's frame rate, 1 fail.")
    delete_metadata: Bool | None = Field(None, description="Drop the source's metadata; default false.")
    is_hdr2_sdr: Bool | None = Field(None, description="Convert HDR to SDR; default false.")
    transcode_index: Integer | None = Field(None, description="Index of the stream to process.")
    hls_encrypt: HlsEncrypt | None = Field(None, description="Encryption of hls segments.")
    dash_encrypt: DashEncrypt | None = Field(None, description="Encryption of dash segments.")
    aigc_metadata: AigcMetadata | None = Field(
        None, serialization_alias="AIGCMetadata", description="Labels of generated content."
    )


class EffectConfig(Node):
    """Fades of a mixed sound."""

    enable_start_fadein: Bool | None = Field(None, description="Fade in at the start; default false.")
    start_fadein_time: Number | None = Field(None, description="Seconds, above 0.")
    enable_end_fadeout: Bool | None = Field(None, description="Fade out at the end; default false.")
    end_fadeout_time: Number | None = Field(None, description="Seconds, above 0.")
    enable_bgm_fade: Bool | None = Field(None, description="Fade at a change of the music; default false.")
    bgm_fade_time: Number | None = Field(None, description="Seconds, above 0.")


class AudioMix(Node):
    """A sound that is mixed into the output, or replaces its sound."""

    audio_source: Text = Field(description="Key or URL of the sound, in the same bucket.")
    mix_mode: Text | None = Field(None, description="Repeat (default) or Once.")
    replace: Bool | None = Field(None, description="Replace the other sound instead of mixing; default false.")
    effect_config: EffectConfig | None = Field(None, description="Fades.")


class Transcode(Node):
    """The encoding parameters of an output, inline or as the content of a transcode template."""

    time_interval: TimeInterval | None = Field(None, description="The part of the composed result that is kept.")
    container: Container | None = Field(None, description="File format.")
    video: Video | None = Field(None, description="Canvas and video encoding; width and height are required.")
    audio: Audio | None = Field(None, description="Sound encoding; without it the output is silent.")
    trans_config: TransConfig | None = Field(None, description="Switches of the transcoding stage.")
    audio_mix: AudioMix | None = Field(None, description="A sound mixed in; beats audio_mix_array.")
    audio_mix_array: tuple[AudioMix, ...] | None = Field(None, description="At most two sounds mixed in.")
