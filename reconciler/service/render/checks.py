"""The switches of ``TransConfig`` that compare the result with its sources: fall back to theirs, or fail. Pure.

The documents speak of one source. Of several the highest value counts: what no source has is what nothing is gained by.

Source: reference/video-synthesis.md §2.4.5; docs/assumptions.md says what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.transcode import Transcode, TransConfig, Video
from reconciler.service.probe import Probe
from reconciler.service.render.failure import INVALID_ARGUMENT, RenderFailed

_FAIL = 1


def checked(transcode: Transcode, placed: Sequence[Probe], heard: Sequence[Probe]) -> Transcode:
    """Return the parameters that act, compared with the sources ``placed`` and ``heard``. Raises RenderFailed.

    What no source tells (stills have no rate, some files no bitrate) is not compared.
    """
    switches = transcode.trans_config or TransConfig()
    video, audio = transcode.video or Video(), transcode.audio
    pictures = [probe.video for probe in placed if probe.video and not probe.video.still]
    if switches.is_check_video_fps and video.fps is not None and pictures:
        highest = max(track.fps for track in pictures)
        if video.fps > highest:
            _refuse_if(switches.video_fps_adj_method, "video.fps", f"{video.fps:f}", f"{float(highest):g}")
            video = video.model_copy(update={"fps": None})  # then the highest rate of the sources is taken
    if switches.is_check_video_bitrate and isinstance(video.bitrate, int) and video.crf is None:
        limit = max((track.bitrate for track in pictures), default=0) // 1000
        video = video.model_copy(update={"bitrate": _lowered(video.bitrate, limit, switches, "video")})
    if switches.is_check_audio_bitrate and audio is not None and audio.bitrate is not None:
        limit = max((track.bitrate for probe in heard for track in probe.sounds), default=0) // 1000
        audio = audio.model_copy(update={"bitrate": _lowered(audio.bitrate, limit, switches, "audio")})
    return transcode.model_copy(update={"video": video, "audio": audio})


def _lowered(asked: int, limit: int, switches: TransConfig, kind: str) -> int:
    if not limit or asked <= limit:
        return asked
    _refuse_if(getattr(switches, f"{kind}_bitrate_adj_method"), f"{kind}.bitrate", f"{asked} kbps", f"{limit} kbps")
    return limit


def _refuse_if(method: int | None, node: str, asked: str, highest: str) -> None:
    if method == _FAIL:
        text = f"transcode.{node} is {asked}, above {highest}, the highest of the sources"
        raise RenderFailed(INVALID_ARGUMENT, f"{text}; trans_config says to fail then")
