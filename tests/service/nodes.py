"""Every node of a job and what is to be seen of it: the walk over the models, a film for each purpose, and measures.

What each node must do stands in ``test_every_node``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from lxml import etree

from reconciler.api.media import AudioStream, VideoStream
from reconciler.api.messages import Operation
from reconciler.api.node import Node
from reconciler.api.shape import children
from reconciler.service.render import RenderFailed
from reconciler.service.rendering import Rendered
from tests.api.cases import Keys, changed
from tests.service.harness import BUCKET, REGION
from tests.service.media import SAMPLE, Films, Picture, loudness, near, pictures, rendered, run, sounds

COLOURS: Final = {
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "lime": (0, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "olive": (128, 128, 0),
}
LEVEL: Final = 0.02
"""Amplitude from which on a tone counts as heard: a sixth of that of the films."""


def leaves(model: type[Node], path: str = "") -> Iterator[str]:
    """Every node without children below a model, dotted, without the numbers of arrays."""
    for child in children(model):
        here = f"{path}{child.name}"
        if child.node is None:
            yield here
        else:
            yield from leaves(child.node, f"{here}.")


def placed(path: str, model: type[Node] = Operation) -> tuple[str | int, ...]:
    """Turn a leaf's dotted path into one that leads to it in the first element of every array."""
    steps: list[str | int] = []
    current: type[Node] | None = model
    for name in path.split("."):
        assert current is not None
        child = next(child for child in children(current) if child.name == name)
        steps += [name, 0] if child.repeated and child.node else [name]
        current = child.node
    return tuple(steps)


def url(name: str) -> str:
    """The address of a film in the bucket of the harness."""
    return f"https://{BUCKET}.cos.{REGION}.myqcloud.com/{name}"


PLAIN: Final[Keys] = {
    "video_synthesis": {"keep_audio_track": True, "splice_info": [{"url": url("red")}]},
    "transcode": {
        "container": {"format": "mp4"},
        "video": {"width": 256, "height": 192, "preset": "veryfast"},
        "audio": {"codec": "aac"},
    },
    "output": {"region": REGION, "bucket": BUCKET, "object": "out/${jobid}.${ext}"},
}
"""A small job: ten frames of red, with a tone of 440 Hz, in the upper left corner of a black canvas."""


def keys(changes: Mapping[str, object], base: Keys = PLAIN) -> Keys:
    """A job with some nodes changed, by their dotted paths."""
    for path, value in changes.items():
        base = changed(base, path, value)
    return base


def video(codec: str | None = None, **rest: object) -> dict[str, object]:
    """Changes of the picture's encoding; a codec other than H.264 takes no preset here."""
    changes = {f"transcode.video.{name}": value for name, value in rest.items()}
    if codec is not None:
        changes |= {"transcode.video.codec": codec}
        if codec != "H.264":
            changes = {"transcode.video.preset": None} | changes
    return changes


def films(root: Path) -> dict[str, Path]:
    """The files of every purpose, by their urls."""
    made = Films(root)
    turning = "drawbox=w=128:h=128:color=blue:t=fill:enable='gte(n,5)'"
    noise = "noise=alls=80:allf=t"
    hdr = [
        "-pix_fmt",
        "yuv420p10le",
        "-color_trc",
        "smpte2084",
        "-color_primaries",
        "bt2020",
        "-colorspace",
        "bt2020nc",
    ]
    found = {
        "red": made.film("red", tone=440),
        "blue": made.film("blue", tone=1200),
        "titled": made.film("red", tone=440, options=["-metadata", "title=a red film"]),
        "turning": made.film("red", filters=turning),
        "late": made.film("red", filters=turning, tone=440, options=["-af", "volume=0:enable='lt(t,0.2)'"]),
        "long": made.film("red", tone=440, seconds=1),
        "slow": made.film("red", rate="5", seconds=2),
        "fast": made.film("red", rate="50"),
        "grain": made.film("gray", filters=noise, seconds=2),
        "small": made.film("gray", filters=noise, seconds=1, options=["-crf", "51", "-b:v", "200k"], tone=440),
        "thin": made.film("gray", tone=440, seconds=1, options=["-c:a", "aac", "-b:a", "48k"]),
        "hdr": made.film("red", options=hdr),
        "sample": SAMPLE,
        "lime": made.film("lime"),
        "faint": made.film("red", tone=440, suffix="mkv", options=["-af", "volume=0.0001", "-c:a", "pcm_f32le"]),
    }
    found |= {name: root / name for name in ("two.mp4", "logo.png", "note.wav", "song.wav", "pair.wav")}
    run(
        *_colour("red"),
        *_tone(440, 0.4),
        *_tone(1200, 0.4),
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        str(root / "two.mp4"),
    )
    run("-f", "lavfi", "-i", "color=c=lime:s=32x16:d=0.04", "-frames:v", "1", str(root / "logo.png"))
    run(*_tone(1200, 0.2), str(root / "note.wav"))
    run(*_tone(2500, 2), str(root / "song.wav"))
    return {url(name): path for name, path in found.items()}


def _colour(name: str) -> list[str]:
    return ["-f", "lavfi", "-i", f"color=c={name}:s=128x128:r=25:d=0.4"]


def _tone(hertz: int, seconds: float) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=f={hertz}:d={seconds}:r=44100"]


@dataclass
class Made:
    """A finished render and what can be found out about it; or why there is none."""

    path: Path
    told: Rendered | None
    failure: str = ""

    @property
    def video(self) -> VideoStream:
        """What is told of the picture."""
        assert self.told is not None, self.failure
        assert self.told.media_info.stream is not None
        (stream,) = self.told.media_info.stream.video or ()
        return stream

    @property
    def audios(self) -> tuple[AudioStream, ...]:
        """What is told of the sounds."""
        assert self.told is not None, self.failure
        assert self.told.media_info.stream is not None
        return self.told.media_info.stream.audio or ()

    @cached_property
    def pictures(self) -> list[Picture]:
        """Every frame."""
        assert self.told is not None, self.failure
        return pictures(self.path)


@dataclass
class Studio:
    """Renders jobs, the same one once only."""

    folder: Path
    sources: Mapping[str, Path]
    made: dict[str, Made] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def render(self, job: Keys) -> Made:
        """Render a job, given under its manifest keys."""
        name = json.dumps(job)
        if name not in self.made:
            self.made[name] = self.again(job)
        return self.made[name]

    def again(self, job: Keys) -> Made:
        """Render a job, also one that was rendered before."""
        folder = self.folder / str(next(self.numbers))
        folder.mkdir()
        path = (
            folder
            / f"result.{ {'hls': 'm3u8', 'dash': 'mpd'}.get(form := job['transcode']['container']['format'], form) }"
        )
        try:
            told = rendered(Operation.model_validate(job), dict(self.sources), path)
        except RenderFailed as error:
            return Made(path, None, f"{error.code}: {error}")
        return Made(path, told)


Measure = Callable[[Made], Any]


def opened(made: Made) -> InputContainer:
    """The file of a render that did not fail."""
    assert made.told is not None, made.failure
    return av.open(str(made.path))


# What is told.


def told(*names: str) -> Measure:
    """What MediaInfo says of the picture."""
    return lambda made: tuple(getattr(made.video, name) for name in names)


def sounding(*names: str) -> Measure:
    """What MediaInfo says of each sound."""
    return lambda made: [tuple(getattr(stream, name) for name in names) for stream in made.audios]


def size(made: Made) -> tuple[int | None, int | None]:
    """Width and height."""
    return made.video.width, made.video.height


def form(made: Made) -> str | None:
    """The container."""
    assert made.told is not None, made.failure
    assert made.told.media_info.format is not None
    return made.told.media_info.format.format_name


def failure(made: Made) -> str:
    """Why the render failed, empty when it did not."""
    return made.failure


# What is seen.


def shown(picture: Picture, x: int, y: int) -> str:
    """The name of the colour of one pixel."""
    pixel = picture.at(x, y)
    return next((name for name, colour in COLOURS.items() if near(pixel, colour, 40)), str(pixel))


def colours(*points: tuple[int, int], frame: int = 0) -> Measure:
    """The names of the colours at some points of one frame."""
    return lambda made: tuple(shown(made.pictures[frame], x, y) for x, y in points)


def course(made: Made) -> list[str]:
    """The colour in the upper left corner of every frame."""
    return [shown(picture, 10, 10) for picture in made.pictures]


def box(frame: int = 0) -> Measure:
    """The left, upper, right and lower edge of what is lime in one frame; the last two are not in it."""

    def found(made: Made) -> tuple[int, int, int, int] | None:
        picture = made.pictures[frame]
        xs, ys = [], []
        for y in range(picture.height):
            for x in range(picture.width):
                red, green, blue = picture.at(x, y)
                if green > 100 and green > red + 30 and green > blue + 30:
                    xs.append(x)
                    ys.append(y)
        return (min(xs), min(ys), max(xs) + 1, max(ys) + 1) if xs else None

    return found


def ink(made: Made) -> int:
    """The number of green pixels of the first frame, each counted as much as it is green."""
    picture = made.pictures[0]
    levels = (picture.at(x, y) for y in range(picture.height) for x in range(picture.width))
    return sum(max(0, green - max(red, blue)) for red, green, blue in levels) // 255


def marked(made: Made) -> list[int]:
    """The frames in which lime is seen in the upper left corner."""
    return [number for number, name in enumerate(course(made)) if name == "lime"]


def grain(made: Made) -> float:
    """How much the luma differs from its average, in the first frames: what is left of a film's noise."""
    with opened(made) as container:
        frames = [_luma(frame) for frame, _ in zip(container.decode(video=0), range(5), strict=False)]
    return sum(abs(a - b) for one in frames for a, b in zip(one, _plain(one), strict=True)) / sum(map(len, frames))


def _plain(samples: bytes) -> bytes:
    return bytes([sum(samples) // len(samples)]) * len(samples)


def _luma(frame: av.VideoFrame) -> bytes:
    plane = frame.planes[0]
    rows = memoryview(bytes(plane))
    return b"".join(bytes(rows[y * plane.line_size : y * plane.line_size + 64]) for y in range(64))


def matrix(made: Made) -> tuple[str, bool]:
    """The matrix that the samples are tagged with, and whether red is red when they are read with it."""
    with opened(made) as container:
        frame = next(container.decode(video=0))
        rgb = frame.reformat(format="rgb24", dst_colorspace="ITU709")
        red, green, blue = bytes(rgb.planes[0])[30 * rgb.planes[0].line_size + 90 :][:3]
        return str(frame.colorspace), near((red, green, blue), (255, 0, 0), 12)


def fields(made: Made) -> tuple[str | None, list[bool]]:
    """The order of the fields, and which frames are coded in fields."""
    with opened(made) as container:
        return made.video.field_order, [frame.interlaced_frame for frame in container.decode(video=0)]


def title(made: Made) -> str | None:
    """The title in the file's metadata."""
    with opened(made) as container:
        return container.metadata.get("title")


def label(name: str) -> Measure:
    """One entry of the label of generated content."""

    def found(made: Made) -> str | None:
        with opened(made) as container:
            text = container.metadata.get("AIGC")
        entry: str | None = json.loads(text).get(name) if text else None
        return entry

    return found


# How it is coded.


def packets(made: Made, kind: str = "video") -> list[tuple[float, int, bool]]:
    """Time, bytes and whether it is a key frame, of every packet, in the order of time."""
    with opened(made) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        found = [
            (float((packet.pts or 0) * stream.time_base), packet.size, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and stream.time_base
        ]
    return sorted(found)


def references(made: Made) -> str:
    """How many reference frames x264 says that it used."""
    return next(iter(re.findall(rb"ref=\d+ ", made.path.read_bytes())), b"").decode()


def key_frames(made: Made) -> list[int]:
    """The numbers of the key frames."""
    return [number for number, (_, _, key) in enumerate(packets(made)) if key]


def kilobits(seconds: float, start: float = 0.0) -> Measure:
    """How many kilobits the picture has in some seconds."""
    return lambda made: sum(
        size * 8 / 1000 for time, size, _ in packets(made) if start - 0.001 <= time < start + seconds - 0.001
    )


def segments(made: Made) -> list[float]:
    """The lengths in the playlist, in tenths of a second."""
    return [round(float(length), 1) for length in re.findall(r"#EXTINF:([\d.]+)", made.path.read_text())]


# What is heard.


def heard(*hertz: int, start: float = 0.05, seconds: float = 0.25) -> Measure:
    """Which of some tones are heard for some time."""
    return lambda made: [each for each in hertz if made.audios and loudness(made.path, each, start, seconds) > LEVEL]


def level(hertz: int, start: float, seconds: float = 0.1) -> Measure:
    """The amplitude of a tone for some time, in tenths of that of a film's one channel in two."""
    return lambda made: round(loudness(made.path, hertz, start, seconds) / 0.125 * 2**0.5 * 10)


def faintly(made: Made) -> list[int]:
    """Which tones are heard when everything is made ten thousand times as loud."""
    loud = made.path.with_name("loud.wav")
    run("-i", str(made.path), "-vn", "-af", "volume=80dB", str(loud))
    return [each for each in (440, 1200) if loudness(loud, each, 0.05, 0.25) > LEVEL]


def tracks(made: Made) -> list[list[int]]:
    """Which tones each sound track has."""
    found = []
    with opened(made) as container:
        number_of_tracks = len(container.streams.audio)
    for number in range(number_of_tracks):
        alone = made.path.with_name(f"track-{number}.wav")
        run("-i", str(made.path), "-map", f"0:a:{number}", str(alone))
        found.append([each for each in (440, 1200) if loudness(alone, each, 0.05, 0.25) > LEVEL])
    return found


def sound_rate(made: Made) -> float:
    """Kilobits of sound in each second of the picture."""
    bits = sum(size * 8 for _, size, _ in packets(made, "audio"))
    return bits / 1000 / (len(packets(made)) / float(Fraction(made.video.avg_fps or 1)))


# Files.


def files(made: Made) -> dict[str, bytes]:
    """Every file of a result by its name."""
    return {path.name: path.read_bytes() for path in made.path.parent.iterdir() if path.is_file()}


def listed(made: Made) -> list[list[str]]:
    """The files that a playlist names, those of each stream in the order in which they are played."""
    text = made.path.read_text()
    if made.path.suffix == ".m3u8":
        heads = re.findall(r'#EXT-X-MAP:URI="([^"]+)"', text)
        return [heads + [line for line in text.splitlines() if line and not line.startswith("#")]]
    found = []
    for stream in etree.fromstring(text.encode()).iterfind(".//{*}Representation"):
        template = stream.find("{*}SegmentTemplate")
        assert template is not None
        segments = sum(1 + int(each.get("r", "0")) for each in template.iterfind(".//{*}S"))
        first = int(template.get("startNumber", "1"))
        heads = [template.get("initialization", "").replace("$RepresentationID$", stream.get("id", ""))]
        pattern = template.get("media", "").replace("$RepresentationID$", stream.get("id", ""))
        found.append(heads + [pattern.replace("$Number%05d$", f"{first + each:05d}") for each in range(segments)])
    return found


def is_head(name: str) -> bool:
    """Whether a file comes before every segment."""
    return "-init." in name


def starts(made: Made) -> list[bool]:
    """Whether each segment with a picture starts with a key frame when it is played first."""
    found, content = [], files(made)
    for names in listed(made):
        head = b"".join(content[name] for name in names if is_head(name))
        for name in names:
            if is_head(name):
                continue
            form = "mpegts" if name.endswith(".ts") else "mov"
            with av.open(BytesIO(head + content[name]), "r", format=form) as container:
                if container.streams.video:
                    found.append(next(packet for packet in container.demux(video=0) if packet.size).is_keyframe)
    return found


@dataclass(frozen=True)
class Decoded:
    """What comes out of a whole result: the frames, and for each sound its length in seconds and its tones."""

    frames: list[Picture]
    seconds: list[float]
    tones: list[list[int]]


def decoded(made: Made) -> Decoded:
    """Decode everything; segments are put together as a player does it."""
    assert made.told is not None, made.failure
    found = Decoded([], [], [])
    for part in whole(made):
        with av.open(str(part), format="mpegts" if part.suffix == ".ts" else None) as container:  # too short to guess
            has_picture, has_sound = bool(container.streams.video), bool(container.streams.audio)
        if has_picture:
            found.frames.extend(pictures(part))
        if has_sound:
            found.seconds.append(len(sounds(part, 8000)) / 8000)
            found.tones.append([each for each in (440, 1200) if loudness(part, each, 0.05, 0.25) > LEVEL])
    return found


def whole(made: Made) -> list[Path]:
    """Return a result as files that can be opened; the segments of each stream are put together as a player does it."""
    assert made.told is not None, made.failure
    if made.path.suffix not in (".m3u8", ".mpd"):
        return [made.path]
    content, parts = files(made), []
    for number, names in enumerate(listed(made)):
        parts.append(made.path.parent / "joined" / f"{number}{Path(names[-1]).suffix}")
        parts[-1].parent.mkdir(exist_ok=True)
        parts[-1].write_bytes(b"".join(content[name] for name in names))
    return parts


def moments(made: Made) -> tuple[float, float]:
    """The times at which the picture turns from red to blue and the sound begins."""
    seen = [time for part in whole(made) for time in _blue(part)]
    loud = [time for part in whole(made) for time in _loud(part)]
    return min(seen), min(loud)


def _blue(path: Path) -> Iterator[float]:
    """The time of every blue frame."""
    with av.open(str(path)) as container:
        if container.streams.video:
            for frame in container.decode(video=0):
                if bytes(frame.planes[1])[0] > 160:
                    yield frame.time or 0.0


def _loud(path: Path) -> Iterator[float]:
    """The time of the first loud sample of every piece of the sound."""
    with av.open(str(path)) as container:
        if container.streams.audio:
            for frame in container.decode(audio=0):
                piece = av.AudioResampler(format="flt", layout="mono").resample(frame)[0]
                samples = memoryview(bytes(piece.planes[0])[: piece.samples * 4]).cast("f")
                first = next((number for number, value in enumerate(samples) if abs(value) > LEVEL), None)
                if first is not None:
                    yield (frame.time or 0.0) + first / frame.sample_rate
