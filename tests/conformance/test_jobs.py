"""Jobs through the official Python SDK: submitted in every way, found, listed, called back for, cancelled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import av
import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.receiver import Receiver
from tests.conformance.space import Space, refusal, transcode
from tests.conformance.test_queues import as_sent, the_queue
from tests.conformance.test_templates import canvas, stamp
from tests.service.media import BLUE, RED, Films, near, pictures

UNKNOWN = "j" + "0" * 32

Update = Callable[..., None]


@pytest.fixture
def filmed(client: CosS3Client, space: Space, films: Films) -> Space:
    """A space with two films of ten frames."""
    for colour in ("red", "blue"):
        client.put_object(space.bucket, films.film(colour).read_bytes(), space.key(f"{colour}.mp4"))
    return space


@pytest.fixture
def update(client: CosS3Client, space: Space) -> Iterator[Update]:
    """Change the queue until the end of the test."""
    before = the_queue(client, space)

    def update(**change: Any) -> None:
        client.ci_update_media_queue(
            space.bucket, before["QueueId"], as_sent(before, **change), ContentType="application/xml"
        )

    yield update
    update()


def fetched(client: CosS3Client, space: Space, name: str, folder: Path) -> Path:
    client.download_file(space.bucket, space.key(name), str(folder / "result.mp4"))
    return folder / "result.mp4"


# Made.


def test_a_job_is_accepted_runs_and_ends_in_an_object(client: CosS3Client, filmed: Space, tmp_path: Path) -> None:
    operation = filmed.operation("red.mp4", "blue.mp4", to="out/${jobid}.${ext}", UserData="order-17", JobLevel="1")
    (made,) = filmed.submit(client, operation)
    assert (made["Code"], made["Message"], made["Tag"]) == ("Success", None, "VideoSynthesis")
    assert made["State"] in ("Submitted", "Running")
    assert (made["JobId"][0], len(made["JobId"]), made["EndTime"]) == ("j", 33, "-")
    assert made["QueueId"] == the_queue(client, filmed)["QueueId"]
    assert made["Operation"]["UserData"] == "order-17"
    assert len(made["Operation"]["VideoSynthesis"]["SpliceInfo"]) == 2

    ended = filmed.until(client, made["JobId"])
    assert (ended["State"], ended["Code"], ended["Progress"]) == ("Success", "Success", "100"), ended
    assert ended["CreationTime"] == made["CreationTime"]
    assert ended["CreationTime"] <= ended["StartTime"] <= ended["EndTime"]
    told = ended["Operation"]
    assert told["Output"]["Object"] == filmed.key("out/${jobid}.${ext}")
    name = f"out/{made['JobId']}.mp4"
    file = told["MediaResult"]["OutputFile"]
    assert (file["Bucket"], file["ObjectName"]) == (filmed.bucket, filmed.key(name))
    assert told["MediaInfo"]["Stream"]["Video"]["Width"] == "256"

    path = fetched(client, filmed, name, tmp_path)
    headed = client.head_object(filmed.bucket, filmed.key(name))
    assert headed["Content-Type"] == "video/mp4"
    assert told["MediaInfo"]["Format"]["Size"] == headed["Content-Length"] == str(path.stat().st_size)
    if filmed.target.local:
        assert headed["ETag"] == f'"{file["Md5Info"]["Md5"]}"'
    first = pictures(path)[0]
    assert (first.width, first.height) == (256, 128)
    assert near(first.at(64, 64), RED)
    assert near(first.at(192, 64), BLUE)


def test_templates_make_the_same_job(client: CosS3Client, filmed: Space, tmp_path: Path) -> None:
    wide = client.ci_create_template(filmed.bucket, canvas(filmed, Width="384"))["Template"]["TemplateId"]
    operation = filmed.operation("red.mp4", to="t.${ext}", Transcode=None, TranscodeTemplateId=wide)
    (made,) = filmed.submit(client, operation)
    client.ci_delete_template(filmed.bucket, wide)  # what was submitted holds, whatever becomes of the template
    assert made["Operation"]["TranscodeTemplateId"] == wide
    ended = filmed.until(client, made["JobId"])
    assert ended["State"] == "Success", ended
    assert ended["Operation"]["TranscodeTemplateId"] == wide
    with av.open(str(fetched(client, filmed, "t.mp4", tmp_path))) as container:
        assert container.streams.video[0].codec_context.width == 384


def test_a_watermark_template_is_drawn(client: CosS3Client, filmed: Space, tmp_path: Path) -> None:
    mark = client.ci_create_template(filmed.bucket, stamp(filmed))["Template"]["TemplateId"]
    (made,) = filmed.submit(client, filmed.operation("red.mp4", to="m.${ext}", WatermarkTemplateId=mark))
    client.ci_delete_template(filmed.bucket, mark)  # what was submitted holds, whatever becomes of the template
    ended = filmed.until(client, made["JobId"])
    assert ended["State"] == "Success", ended
    assert ended["Operation"]["WatermarkTemplateId"] == mark
    first = pictures(fetched(client, filmed, "m.mp4", tmp_path))[0]
    corner = [first.at(x, y) for x in range(first.width - 70, first.width - 8) for y in range(8, 32)]
    assert max(min(colour) for colour in corner) > 60  # white at 60 percent, on red or on black


def test_several_operations_make_several_jobs(client: CosS3Client, filmed: Space) -> None:
    names = ["one.mp4", "two.mp4", "three.mp4"]
    made = filmed.submit(client, *(filmed.operation("red.mp4", to=name) for name in names))
    assert len({job["JobId"] for job in made}) == 3
    assert [job["Operation"]["Output"]["Object"] for job in made] == [filmed.key(name) for name in names]
    for job in made:
        assert filmed.until(client, job["JobId"])["State"] == "Success"
    assert all(client.object_exists(filmed.bucket, filmed.key(name)) for name in names)


def test_of_several_operations_all_or_none_are_taken(client: CosS3Client, filmed: Space) -> None:
    before = client.ci_list_media_jobs(filmed.bucket, "VideoSynthesis", Size=1)
    with pytest.raises(CosServiceError) as refused:
        filmed.submit(
            client, filmed.operation("red.mp4"), filmed.operation("red.mp4", Transcode=transcode(Width="127"))
        )
    assert refusal(refused) == (400, "InvalidArgument")
    after = client.ci_list_media_jobs(filmed.bucket, "VideoSynthesis", Size=1)
    assert _ids(after) == _ids(before)


def _ids(reply: dict[str, Any]) -> list[str]:
    return [job["JobId"] for job in reply.get("JobsDetail", [])]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"VideoSynthesis": None}, "VideoSynthesis"),
        ({"Output": None}, "Output"),
        ({"Transcode": None}, "Transcode"),
        ({"Transcode": {"Container": {"Format": "mp4"}, "Video": {"Codec": "H.264"}}}, "Video.Width"),
        ({"JobLevel": "3"}, "JobLevel"),
        ({"UserData": "x" * 1025}, "UserData"),
    ],
)
def test_a_job_that_cannot_be(client: CosS3Client, space: Space, change: dict[str, Any], says: str) -> None:
    with pytest.raises(CosServiceError) as refused:
        space.submit(client, space.operation("red.mp4", **change))
    assert refusal(refused) == (400, "InvalidArgument")
    if space.target.local:
        assert says in refused.value.get_error_msg()


def test_an_unknown_tag(client: CosS3Client, space: Space) -> None:
    asked = {**space.request(space.operation("red.mp4")), "Tag": "VideoSynthesise"}
    with pytest.raises(CosServiceError) as refused:
        client.ci_create_media_jobs(space.bucket, Jobs=asked, ContentType="application/xml")
    assert refusal(refused) == (400, "InvalidArgument")


def test_a_source_that_is_not_there_fails_the_job(client: CosS3Client, space: Space) -> None:
    (made,) = space.submit(client, space.operation("none.mp4"))
    ended = space.until(client, made["JobId"])
    assert ended["State"] == "Failed"
    assert ended["Code"] not in (None, "Success")
    assert ended["Message"]
    assert not client.object_exists(space.bucket, space.key("out.mp4"))


# Found.


def test_jobs_are_found_by_id(client: CosS3Client, filmed: Space) -> None:
    made = filmed.submit(client, *(filmed.operation("red.mp4", to=f"{n}.mp4") for n in range(2)))
    first, second = (job["JobId"] for job in made)
    reply = client.ci_get_media_jobs(filmed.bucket, f"{second},{UNKNOWN},{first}")
    assert _ids(reply) == [second, first]
    assert reply["NonExistJobIds"] == UNKNOWN
    missing = [UNKNOWN, f"{UNKNOWN[:-1]}1"]
    assert client.ci_get_media_jobs(filmed.bucket, ",".join(missing)) == {"NonExistJobIds": missing}


def test_jobs_are_listed_in_pages_either_way(client: CosS3Client, filmed: Space) -> None:
    made = [
        job["JobId"] for job in filmed.submit(client, *(filmed.operation("red.mp4", to=f"{n}.mp4") for n in range(5)))
    ]
    for job in made:
        filmed.until(client, job)
    since = filmed.job(client, made[0])["CreationTime"]
    assert [job for job in _pages(client, filmed, OrderByTime="Asc", since=since) if job in made] == made
    assert [job for job in _pages(client, filmed, OrderByTime="Desc", since=since) if job in made] == made[::-1]


def _pages(client: CosS3Client, space: Space, *, since: str, **asked: str) -> list[str]:
    """Every job of a listing, two a page."""
    token, found = "", []
    while True:
        page = client.ci_list_media_jobs(
            space.bucket, "VideoSynthesis", Size=2, NextToken=token, StartCreationTime=since, **asked
        )
        assert len(_ids(page)) <= 2
        found += _ids(page)
        token = page.get("NextToken") or ""
        if not token:
            return found


def test_jobs_are_listed_by_queue_state_and_time(client: CosS3Client, filmed: Space) -> None:
    (good,) = filmed.submit(client, filmed.operation("red.mp4"))
    (bad,) = filmed.submit(client, filmed.operation("none.mp4"))
    filmed.until(client, good["JobId"])
    filmed.until(client, bad["JobId"])

    def listed(**asked: Any) -> set[str]:
        found = _ids(client.ci_list_media_jobs(filmed.bucket, "VideoSynthesis", Size=100, **asked))
        return set(found) & {good["JobId"], bad["JobId"]}

    queue = the_queue(client, filmed)["QueueId"]
    assert listed() == listed(QueueId=queue) == listed(States="Failed,Success") == {good["JobId"], bad["JobId"]}
    assert listed(States="Success") == {good["JobId"]}
    assert listed(States="Failed") == {bad["JobId"]}
    assert listed(States="Submitted,Running,Pause,Cancel") == set()
    created = good["CreationTime"]
    assert good["JobId"] in listed(StartCreationTime=created, EndCreationTime=created) or not filmed.target.local
    assert listed(EndCreationTime="2020-01-01T00:00:00+0800") == set()
    assert listed(StartCreationTime="2100-01-01T00:00:00+0800") == set()


def test_a_listing_without_jobs_reads_as_one(client: CosS3Client, space: Space) -> None:
    reply = client.ci_list_media_jobs(space.bucket, "VideoSynthesis", StartCreationTime="2100-01-01T00:00:00+0800")
    assert _ids(reply) == []
    if space.target.local:
        assert reply == {"NextToken": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"Size": 0},
        {"Size": 101},
        {"Size": "many"},
        {"States": "Sleeping"},
        {"OrderByTime": "Random"},
        {"StartCreationTime": "yesterday"},
        {"NextToken": "garbage"},
    ],
    ids=lambda wrong: "-".join(map(str, *wrong.items())),
)
def test_a_listing_that_cannot_be(client: CosS3Client, space: Space, wrong: dict[str, Any]) -> None:
    with pytest.raises(CosServiceError) as refused:
        client.ci_list_media_jobs(space.bucket, "VideoSynthesis", **wrong)
    assert refusal(refused) == (400, "InvalidArgument")


# Called back for.


@pytest.fixture
def called(receiver: Receiver, space: Space) -> Receiver:
    """Where callbacks arrive, when the target can reach it."""
    if not space.target.local:
        pytest.skip("the cloud has no way to this machine's loopback address")
    return receiver


@pytest.mark.parametrize("form", ["XML", "JSON"])
@pytest.mark.parametrize(("source", "state"), [("red.mp4", "Success"), ("none.mp4", "Failed")])
def test_the_end_of_a_job_is_called_back(
    client: CosS3Client, filmed: Space, called: Receiver, form: str, source: str, state: str
) -> None:
    (made,) = filmed.submit(
        client, filmed.operation(source, UserData="u"), CallBack=called.url("/ci?a=b"), CallBackFormat=form
    )
    call = called.next()
    assert call.path == "/ci?a=b"
    ended = filmed.until(client, made["JobId"])
    if form == "XML":
        assert call.headers["content-type"] == "application/xml"
        root = ET.fromstring(call.body)
        assert (root.tag, root.findtext("EventName")) == ("Response", "TaskFinish")
        job = {name: root.findtext(f"JobsDetail/{name}") for name in ("JobId", "State", "Code", "QueueId", "EndTime")}
        data = root.findtext("JobsDetail/Operation/UserData")
    else:
        assert call.headers["content-type"] == "application/json"
        body = json.loads(call.body)
        assert body["EventName"] == "TaskFinish"
        (job,) = body["JobsDetail"]
        data = job["Operation"]["UserData"]
    assert (job["JobId"], job["State"], data) == (made["JobId"], state, "u")
    assert {name: ended[name] for name in ("Code", "QueueId", "EndTime")}.items() <= job.items()


def test_the_queues_callback_is_used_unless_the_job_says_otherwise(
    client: CosS3Client, filmed: Space, called: Receiver, update: Update
) -> None:
    update(
        NotifyConfig={
            "State": "On",
            "Event": "TaskFinish",
            "ResultFormat": "JSON",
            "Type": "Url",
            "Url": called.url("/queue"),
        }
    )
    (none,) = filmed.submit(client, filmed.operation("red.mp4", to="none.mp4"), CallBack="no")
    filmed.until(client, none["JobId"])
    (own,) = filmed.submit(client, filmed.operation("red.mp4", to="own.mp4"), CallBack=called.url("/job"))
    first = called.next()
    (queued,) = filmed.submit(client, filmed.operation("red.mp4", to="queued.mp4"))
    second = called.next()
    assert (first.path, own["JobId"].encode() in first.body) == ("/job", True)
    assert (second.path, json.loads(second.body)["JobsDetail"][0]["JobId"]) == ("/queue", queued["JobId"])


# Stopped.


def test_a_waiting_job_is_cancelled(client: CosS3Client, filmed: Space, update: Update) -> None:
    update(State="Paused")
    (made,) = filmed.submit(client, filmed.operation("red.mp4"))
    assert filmed.until(client, made["JobId"], ("Pause",))["State"] == "Pause"
    assert client.ci_cancel_jobs(filmed.bucket, made["JobId"]) == ""
    ended = filmed.job(client, made["JobId"])
    assert ended["State"] == "Cancel"
    update(State="Active")
    assert filmed.job(client, made["JobId"])["State"] == "Cancel"
    assert not client.object_exists(filmed.bucket, filmed.key("out.mp4"))


def test_a_paused_queue_holds_its_jobs_until_it_goes_on(client: CosS3Client, filmed: Space, update: Update) -> None:
    update(State="Paused")
    (made,) = filmed.submit(client, filmed.operation("red.mp4"))
    assert filmed.until(client, made["JobId"], ("Pause",))["State"] == "Pause"
    assert the_queue(client, filmed)["State"] == "Paused"
    update(State="Active")
    assert filmed.until(client, made["JobId"])["State"] == "Success"


def test_an_ended_job_and_an_unknown_one_cannot_be_cancelled(client: CosS3Client, filmed: Space) -> None:
    (made,) = filmed.submit(client, filmed.operation("red.mp4"))
    filmed.until(client, made["JobId"])
    with pytest.raises(CosServiceError) as refused:
        client.ci_cancel_jobs(filmed.bucket, made["JobId"])
    if filmed.target.local:
        assert refusal(refused)[0] == 409
    assert filmed.job(client, made["JobId"])["State"] == "Success"
    with pytest.raises(CosServiceError) as unknown:
        client.ci_cancel_jobs(filmed.bucket, UNKNOWN)
    assert refusal(unknown) == (404, "NoSuchJob")


def test_important_jobs_go_first(client: CosS3Client, filmed: Space, update: Update) -> None:
    if not filmed.target.local:
        pytest.skip("the cloud renders as many at once as it likes")
    update(State="Paused")
    made = [
        job["JobId"]
        for level in ("0", "1", "2")
        for job in filmed.submit(
            client, *(filmed.operation("red.mp4", to=f"{level}{n}.mp4", JobLevel=level) for n in range(2))
        )
    ]
    update(State="Active")
    for job in made:
        filmed.until(client, job)
    started = {
        job["JobId"]: job["StartTime"] for job in client.ci_get_media_jobs(filmed.bucket, ",".join(made))["JobsDetail"]
    }
    times = [started[job] for job in made]
    assert max(times[4:]) <= min(times[:2])
