"""One composition at a time through the embedded service, beside FFmpeg by hand, encoding alone, and moviepy.

The whole of a job is measured, from its submission to Success, with everything cold: a new service, which has not yet
looked at FFmpeg or at any source. The commands by hand are what a person who knows FFmpeg and these very sources would
write; they probe nothing, check nothing and leave the result where FFmpeg wrote it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import footage
from benchmarks.cold_start import SETTINGS
from benchmarks.measure import RECONCILER, Meter, Run, Way, alternate, of_command, tabulate
from benchmarks.service import BUCKET, CI, COS, REGION, App, ask
from reconciler.api import xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.service import Service
from reconciler.service.probe import probe
from reconciler.service.render import argv, compose
from reconciler.service.studio import render_threads
from reconciler.wire import renamed

SECONDS = 20
QUICK_SECONDS = 2
RUNS = 5
THREADS = str(render_threads())

LOOK_SECONDS = 0.02
"""How often it is looked whether a result is there: half of it is lost on average."""

ASK_SECONDS = 2.0
"""How often a job is asked for while no result is there: it may have failed."""

ENCODERS = ("-c:v", "libx264", "-preset", "medium", "-b:v", "1500k", "-pix_fmt", "yuv420p", "-r", "30")
SOUND = ("-c:a", "aac", "-b:a", "128k", "-ar", "44100", "-ac", "2")
BY_HAND = (footage.FFMPEG, "-v", "error", "-nostdin", "-y")
SCRIPT = "from benchmarks.one_job import moviepy_renders; moviepy_renders()"
MANIFEST = """version: 1
outputs:
  seed:
    video_synthesis:
      keep_audio_track: true
      splice_info: {places}
    transcode: {transcode}
    output: output/seed.${{ext}}
"""


Job = tuple[Operation, Path]
"""What is asked for, and where the result will be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one source is seen; ``said`` is how the job says it, when it does not name all four numbers."""

    x: int
    y: int
    width: int
    height: int
    said: Mapping[str, int] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, int]:
        """What the job says of it."""
        return dict(self.said) or {"x": self.x, "y": self.y, "width": self.width, "height": self.height}


@dataclass(frozen=True, slots=True)
class Case:
    """One composition: a job, and what a person would write in its stead.

    ``graph`` is the picture's filter graph, written by hand, which ends in [v].
    """

    name: str
    width: int
    height: int
    places: Sequence[Place]
    graph: str
    interval: Mapping[str, int] = field(default_factory=dict)

    @property
    def transcode(self) -> dict[str, Any]:
        """The job's parameters of the result."""
        video = {"codec": "H.264", "width": self.width, "height": self.height, "fps": 30, "bitrate": 1500}
        audio = {"codec": "aac", "samplerate": 44100, "bitrate": 128, "channels": 2}
        interval = {"time_interval": dict(self.interval)} if self.interval else {}
        return {"container": {"format": "mp4"}, "video": {**video, "preset": "medium"}, "audio": audio, **interval}

    def operation(self, keys: Sequence[str], result: str = "out/result.mp4") -> Operation:
        """Return the job, on sources by their keys."""
        places = [{"url": f"https://{COS}/{key}", **p.asked} for key, p in zip(keys, self.places, strict=True)]
        return Operation.model_validate(
            {
                "video_synthesis": {"keep_audio_track": True, "splice_info": places},
                "transcode": self.transcode,
                "output": {"region": REGION, "bucket": BUCKET, "object": result},
            }
        )

    @property
    def whole_graph(self) -> str:
        """The filter graph of picture and sound."""
        count = len(self.places)
        heard = "".join(f"[{number}:a]" for number in range(count))
        return f"{self.graph};{heard}amix=inputs={count}:normalize=0[s]"


SEED = Case(
    "the seed's job",
    1280,
    960,
    (Place(0, 0, 640, 720, {"width": 640}), Place(640, 0, 640, 720, {"x": 640, "width": 640})),
    "[0:v]scale=640:720,setsar=1[a];[1:v]scale=640:720,setsar=1[b];"
    "[a][b]xstack=inputs=2:layout=0_0|640_0,pad=1280:960[v]",
)
FILL = Case(
    "the seed's job, all of the canvas",
    1280,
    960,
    (Place(0, 0, 640, 960), Place(640, 0, 640, 960)),
    "[0:v]scale=640:960,setsar=1[a];[1:v]scale=640:960,setsar=1[b];[a][b]xstack=inputs=2:layout=0_0|640_0[v]",
)


def main(*, quick: bool = False) -> None:
    """Aims: at most 3 % more wall time than FFmpeg by hand, at most 1.3 times encoding alone."""
    seconds, runs = (QUICK_SECONDS, 1) if quick else (SECONDS, RUNS)
    with tempfile.TemporaryDirectory() as name:
        yard = Yard(Path(name))
        sources = footage.clips(yard.sources, 2, seconds)
        for case in (SEED, FILL):
            more = yard.parts(case, sources)
            if case is FILL:
                more.append(Way("reconciler apply, from the start of Python", yard.applied(case, sources)))
            yard.compare(case, sources, runs, more)
        _late(yard, runs, minutes=4 if quick else 60)


def _late(yard: Yard, runs: int, *, minutes: int) -> None:
    """Compare the ways to five seconds close to the end of a long film."""
    start = minutes * 50
    case = Case(
        f"five seconds after {start} of {minutes * 60}",
        1280,
        720,
        [Place(0, 0, 1280, 720)],
        "[0:v]null[v]",
        {"start": start, "duration": 5},
    )
    film = footage.hours(yard.sources, minutes)
    output = ("-t", "5", *ENCODERS, "-threads", THREADS, *SOUND, "-movflags", "+faststart", str(yard.result))
    sought = (*BY_HAND, "-ss", str(start), "-i", str(film), *output)
    naive = (*BY_HAND, "-i", str(film), "-ss", str(start), *output)
    ways = [
        Way("reconciler", lambda: yard.serve(case, [film])),
        Way("FFmpeg by hand, -ss before -i", lambda: of_command(sought)),
        Way("FFmpeg by hand, -ss after -i", lambda: of_command(naive), most=1),
    ]
    tabulate(case.name, ways, alternate(ways, runs))


class Yard:
    """A folder with a service's bucket in it, and the ways to make one result of what is there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bucket = root / "buckets" / BUCKET
        self.sources = self.bucket / "in"
        self.sources.mkdir(parents=True)
        self.result = root / "by-hand.mp4"
        (self.bucket / "small").mkdir()
        self._small = footage.clips(self.bucket / "small", 2, 0.2)
        asyncio.run(self._serve([self._job(FILL, self._small)]))  # all modules are loaded before anything counts

    def compare(self, case: Case, sources: Sequence[Path], runs: int, more: Sequence[Way] = ()) -> None:
        """Print a table of what one case takes in every way."""
        frames = footage.raw(self.root / "raw.nut", sources, case.whole_graph)
        ways = [
            Way("reconciler", lambda: self.serve(case, sources)),
            Way("FFmpeg by hand", lambda: of_command(by_hand(case, sources, self.result))),
            *more,
            Way("encoding alone, the limit", lambda: of_command(encode(frames, self.result))),
        ]
        if find_spec("moviepy"):
            ways.append(Way("moviepy", lambda: self._moviepy(case, sources), most=1))
        tabulate(case.name, ways, alternate(ways, runs))
        if not find_spec("moviepy"):
            print("moviepy is left out: it is not installed (pip install 'reconciler[bench]')")
        frames.unlink()

    def serve(self, case: Case, sources: Sequence[Path], *, warm: bool = False) -> Run:
        """Bring one job to Success in a new service of this process, which when ``warm`` has had another job before."""
        before = [self._job(FILL, self._small)] if warm else []
        return asyncio.run(self._serve([self._job(case, sources)], before))

    def serve_all(self, case: Case, sources: Sequence[Sequence[Path]]) -> Run:
        """Submit a job for each of many groups of sources to a new service, and wait until all are done."""
        jobs = [self._job(case, group, f"out/{number}.mp4") for number, group in enumerate(sources)]
        return asyncio.run(self._serve(jobs))

    def keys(self, sources: Sequence[Path]) -> list[str]:
        """Return the keys of files in the bucket."""
        return [path.relative_to(self.bucket).as_posix() for path in sources]

    def parts(self, case: Case, sources: Sequence[Path]) -> list[Way]:
        """Return ways that tell what of the service's time is spent where."""
        return [
            Way("reconciler, not its first job", lambda: self.serve(case, sources, warm=True)),
            Way("its FFmpeg command alone", self.bare(case, sources)),
        ]

    def bare(self, case: Case, sources: Sequence[Path]) -> Callable[[], Run]:
        """Return what runs the service's own command of a job, without the service."""
        operation = case.operation(self.keys(sources))
        files = dict(zip((place.url for place in operation.video_synthesis.splice_info), sources, strict=True))
        composition = compose(renamed(operation, lambda url: url), {url: probe(path) for url, path in files.items()})
        inputs = [files[file.url] for file in composition.files]
        name = self.result.stem
        command = argv(composition, ffmpeg=footage.FFMPEG, inputs=inputs, name=name, threads=int(THREADS))
        return lambda: of_command(command, self.root)

    def applied(self, case: Case, sources: Sequence[Path]) -> Callable[[], Run]:
        """Return what renders a case by `reconciler apply`, from nothing."""
        (self.root / "manifests").mkdir()
        (self.root / "reconciler.yaml").write_text(SETTINGS)
        places = [{"url": key, **place.asked} for key, place in zip(self.keys(sources), case.places, strict=True)]
        text = MANIFEST.format(places=json.dumps(places), transcode=json.dumps(case.transcode))
        (self.root / "manifests" / "seed.yaml").write_text(text)

        def apply() -> Run:
            start_anew(self.root)
            return of_command((*RECONCILER, "apply", "--yes"), self.root)

        return apply

    def _job(self, case: Case, sources: Sequence[Path], key: str = "out/result.mp4") -> Job:
        return case.operation(self.keys(sources), key), self.bucket / key

    async def _serve(self, jobs: Sequence[Job], before: Sequence[Job] = ()) -> Run:
        for folder in (".reconciler", "buckets/" + BUCKET + "/out"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        async with Service(self.root, bucket=BUCKET, region=REGION) as service:
            for each in before:
                await _done(service.app, [each])
                each[1].unlink()
            with Meter(inside=True) as meter:
                await _done(service.app, jobs)
        return meter.run

    def _moviepy(self, case: Case, sources: Sequence[Path]) -> Run:
        told = {
            "size": [case.width, case.height],
            "sources": [str(path) for path in sources],
            "places": [[place.x, place.y, place.width, place.height] for place in case.places],
            "target": str(self.result),
        }
        return of_command((sys.executable, "-c", SCRIPT, json.dumps(told)), Path(__file__).parents[1])


def by_hand(case: Case, sources: Sequence[Path], target: Path, threads: str = THREADS) -> list[str]:
    """Return the command that a person who knows FFmpeg well would type."""
    inputs = [word for path in sources for word in ("-i", str(path))]
    graph = ("-filter_complex", case.whole_graph, "-map", "[v]", "-map", "[s]")
    return [*BY_HAND, *inputs, *graph, *ENCODERS, *_threads(threads), *SOUND, "-movflags", "+faststart", str(target)]


def encode(frames: Path, target: Path, threads: str = THREADS) -> list[str]:
    """Return the command that encodes what is composed already."""
    return [
        *(*BY_HAND, "-i", str(frames), *ENCODERS, *_threads(threads)),
        *(*SOUND, "-movflags", "+faststart", str(target)),
    ]


def start_anew(project: Path) -> None:
    """Forget everything that an earlier run made or remembered."""
    shutil.rmtree(project / ".reconciler", ignore_errors=True)
    shutil.rmtree(project / "buckets" / BUCKET / "output", ignore_errors=True)
    (project / "reconciler.lock").unlink(missing_ok=True)


def moviepy_renders() -> None:
    """Compose as moviepy's documentation shows it; what and where is the argument of this process, as JSON."""
    moviepy = import_module("moviepy")  # installed or not: what it exports is not known before it runs
    told = json.loads(sys.argv[1])
    clips = []
    for path, (x, y, width, height) in zip(told["sources"], told["places"], strict=True):
        clips.append(moviepy.VideoFileClip(path).resized((width, height)).with_position((x, y)))
    composed = moviepy.CompositeVideoClip(clips, size=tuple(told["size"]))
    composed.write_videofile(
        told["target"],
        fps=30,
        codec="libx264",
        bitrate="1500k",
        preset="medium",
        threads=int(THREADS),
        audio_codec="aac",
        audio_bitrate="128k",
        temp_audiofile_path=str(Path(told["target"]).parent),
        audio_fps=44100,
        ffmpeg_params=["-pix_fmt", "yuv420p", "-movflags", "+faststart"],
        logger=None,
    )


def _threads(count: str) -> list[str]:
    """Return the option of the encoder's threads; FFmpeg chooses when there is none."""
    return ["-threads", count] if count else []


async def _done(app: App, jobs: Sequence[Job]) -> None:
    """Submit jobs, and wait for the Success of all."""
    names = []
    for operation, _ in jobs:
        body = xml.write(JobRequest(operation=(operation,)), "Request")
        names.append(_between(await ask(app, "POST", CI, "/jobs", body), b"JobId"))
    await asyncio.gather(*(_success(app, name, path) for name, (_, path) in zip(names, jobs, strict=True)))


async def _success(app: App, job: str, target: Path) -> None:
    """Wait for a job's result, then for its Success; anything else ends the benchmark."""
    loop = asyncio.get_running_loop()
    state, asked = "", loop.time()
    while state != "Success":
        if _is_there(target) or loop.time() > asked + ASK_SECONDS:
            answer = await ask(app, "GET", CI, f"/jobs/{job}")
            state, asked = _between(answer, b"State"), loop.time()
            if state in ("Failed", "Cancel"):
                raise SystemExit(f"{job}: {answer.decode()}")
        await asyncio.sleep(LOOK_SECONDS)


def _is_there(path: Path) -> bool:
    return path.exists()


def _between(answer: bytes, element: bytes) -> str:
    return answer.partition(b"<%s>" % element)[2].partition(b"<")[0].decode()


if __name__ == "__main__":
    main()
