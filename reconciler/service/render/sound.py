"""What is heard: the sounds of the sources, mixed, and the music of ``AudioMix``, as FFmpeg's filter chains.

Pure. Every value in a chain is a number or a word of ours.

Source: reference/video-synthesis.md §2.4.4, §2.5 and §4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from reconciler.api.messages import Operation
from reconciler.api.transcode import Audio, AudioMix, EffectConfig
from reconciler.service.probe import AudioTrack, Probe
from reconciler.service.render.failure import INVALID_SOURCE, RenderFailed
from reconciler.service.render.picture import Span
from reconciler.service.render.unsupported import video_codec

ONCE: Final = "Once"
_LAYOUTS: Final = {1: "mono", 2: "stereo", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_LONGEST_FADE: Final = 86_400.0
_FINE: Final = 512
"""Samples in one step of a volume that changes: 12 ms."""


class Heard(NamedTuple):
    """One sound track of a source; ``input`` is FFmpeg's number of the file."""

    input: int
    track: AudioTrack


@dataclass(frozen=True, slots=True)
class Music:
    """A sound that is mixed in from the first kept frame on.

    ``source`` is its url, ``input`` FFmpeg's number of the file. Fades are in seconds, 0 without. ``change`` is the
    fade at a change of the music: each repetition fades in, music that is played once fades out at its own end.
    """

    source: str
    input: int
    track: AudioTrack
    repeated: bool
    fade_in: float
    fade_out: float
    change: float


def listed(operation: Operation) -> tuple[AudioMix, ...]:
    """Return the sounds to mix in: ``audio_mix`` beats ``audio_mix_array``, and a removed audio silences both."""
    transcode = operation.transcode
    if transcode is None or not _is_kept(transcode.audio):
        return ()
    return (transcode.audio_mix,) if transcode.audio_mix else transcode.audio_mix_array or ()


def keeps_sources(operation: Operation, mixes: Sequence[AudioMix]) -> bool:
    """Tell whether the sources are heard: kept, not removed, and not replaced by a sound that is mixed in."""
    transcode = operation.transcode
    kept = bool(operation.video_synthesis.keep_audio_track) and _is_kept(transcode.audio if transcode else None)
    return kept and not any(mix.replace for mix in mixes)


def music(mixes: Sequence[AudioMix], probes: Mapping[str, Probe], *, first: int) -> tuple[Music, ...]:
    """Return what is mixed in; its files have FFmpeg's numbers from ``first`` on. Raises RenderFailed."""
    found = []
    for number, mix in enumerate(mixes):
        track = probes[mix.audio_source].audio
        if track is None:
            raise RenderFailed(INVALID_SOURCE, f"{mix.audio_source} has no sound, so it cannot be mixed in")
        effects = mix.effect_config or EffectConfig()
        found.append(
            Music(
                mix.audio_source,
                first + number,
                track,
                mix.mix_mode != ONCE,
                _seconds(effects.start_fadein_time, on=effects.enable_start_fadein),
                _seconds(effects.end_fadeout_time, on=effects.enable_end_fadeout),
                _seconds(effects.bgm_fade_time, on=effects.enable_bgm_fade),
            )
        )
    return tuple(found)


def _seconds(time: Decimal | None, *, on: bool | None) -> float:
    """Return how long a fade is, 0 without one; beyond a day no sound tells the difference."""
    return min(float(time or 0), _LONGEST_FADE) if on else 0.0


def tracks(
    operation: Operation, sources: Sequence[tuple[int, Probe]], mixed_in: Sequence[Music]
) -> tuple[tuple[Heard, ...], ...]:
    """Return the sound tracks of the result: what is heard of each source in each of them.

    One track of the sources' first sounds; with ``keep_two_tracks`` a second one of their second sounds, when there is
    any; with ``switch_track`` the second comes first, or alone, and a source with one sound gives that. Neither acts
    beside H.265.
    """
    audio = operation.transcode.audio if operation.transcode else None
    video = operation.transcode.video if operation.transcode else None
    layers = [
        tuple(Heard(number, probe.sounds[layer]) for number, probe in sources if len(probe.sounds) > layer)
        for layer in (0, 1)
    ]
    chosen = layers[:1]
    if audio is not None and video is not None and video_codec(video) != "H265":
        if audio.keep_two_tracks:
            chosen = layers[::-1] if audio.switch_track else layers
        elif audio.switch_track:
            chosen = [tuple(Heard(number, probe.sounds[:2][-1]) for number, probe in sources if probe.sounds)]
    return tuple(filter(None, chosen)) or (((),) if mixed_in else ())


def chains(
    mixes: Sequence[Sequence[Heard]], mixed_in: Sequence[Music], audio: Audio, rate: int, span: Span
) -> list[str]:
    """Return the chains that end in ``label(0)``, ``label(1)``, …: one for each sound track of the result."""
    channels, length = audio.channels or 2, float(span.frames / span.rate)
    found = [
        _shaped(each.input, each.track, rate, channels) + _shape(each, length) + _copies(number, len(mixes))
        for number, each in enumerate(mixed_in)
    ]
    for number, heard in enumerate(mixes):
        taps = [f"[heard{number}_{position}]" for position in range(len(heard))]
        found += [_shaped(*each, rate, channels) + tap for each, tap in zip(heard, taps, strict=True)]
        found += _track(number, taps, [f"[music{index}_{number}]" for index in range(len(mixed_in))], span)
    return found


def _shaped(number: int, track: AudioTrack, rate: int, channels: int) -> str:
    """Bring one sound to the rate and the channels of the result, as loud as it is.

    FFmpeg takes 3 dB from a single channel that becomes two, and gives 3 dB to two that become one.
    """
    single = f"rematrix_maxval=1:ochl={_LAYOUTS[1]}:" if channels == 1 < track.channels else ""
    filters = [f"aresample={rate}:{single}async=1:first_pts=0"]
    if track.channels == 1 and channels == 2:
        filters.append("pan=stereo|c0=c0|c1=c0")
    return f"[{number}:{track.index}]{','.join(filters)},aformat=sample_fmts=fltp:channel_layouts={_LAYOUTS[channels]}"


def label(number: int) -> str:
    """Return the name of a finished sound track."""
    return f"[sound{number}]"


def _is_kept(audio: Audio | None) -> bool:
    return audio is not None and not audio.remove


def _copies(music_number: int, count: int) -> str:
    split = f",asplit={count}" if count > 1 else ""
    return split + "".join(f"[music{music_number}_{number}]" for number in range(count))


def _track(number: int, taps: Sequence[str], mixed_in: Sequence[str], span: Span) -> list[str]:
    """Return the chains of one track: each sound at its own level, as long as the picture."""
    start, end = (float(frame / span.rate) for frame in (span.first, span.end))
    # Padding has an end of its own: an endless apad lets FFmpeg 9 spin for ever now and then.
    cut = [f"apad=whole_dur={end:.6f}", f"atrim=start={start:.6f}:end={end:.6f}", "asetpts=PTS-STARTPTS"]
    if not mixed_in:
        return ["".join(taps) + ",".join([*_mixed(len(taps)), *_limited(len(taps)), *cut]) + label(number)]
    found, ready = [], list(mixed_in)
    if taps:
        found.append("".join(taps) + ",".join([*_mixed(len(taps)), *cut]) + f"[kept{number}]")
        ready.insert(0, f"[kept{number}]")
    length = f"{end - start:.6f}"
    whole = [f"apad=whole_dur={length}", f"atrim=end={length}"]
    limited = _limited(len(taps) + len(mixed_in))
    return [*found, "".join(ready) + ",".join([*_mixed(len(ready)), *limited, *whole]) + label(number)]


def _mixed(count: int) -> list[str]:
    """Mix sounds; ``normalize`` would change the level whenever one ends."""
    return [f"amix=inputs={count}:duration=longest:normalize=0"] if count > 1 else []


def _limited(count: int) -> list[str]:
    """Take what clips, where there is more than one sound."""
    return ["alimiter=limit=0.98:level=0:latency=1"] if count > 1 else []


def _shape(each: Music, length: float) -> str:
    """Return the filters that cut and fade one music, in a result of ``length`` seconds."""
    own = each.track.duration or length
    end = length if each.repeated else min(length, own)
    filters = [f"atrim=end={length:.6f}"]
    if each.fade_in:
        filters.append(f"afade=t=in:st=0:d={each.fade_in:.6f}")
    fade_out = each.fade_out
    if each.change and each.repeated and own < length:
        ramp = f"if(lt(t,{own:.6f}),1,min(1,mod(t,{own:.6f})/{each.change:.6f}))"
        filters += [f"asetnsamples=n={_FINE}:p=0", f"volume='{ramp}':eval=frame"]
    elif each.change and not each.repeated and own < length:
        fade_out = fade_out or each.change
    if fade_out:
        filters.append(f"afade=t=out:st={max(0.0, end - fade_out):.6f}:d={min(fade_out, end):.6f}")
    return "," + ",".join(filters)
