"""A whole life through the official Python SDK: one project from its first upload to its last deletion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qcloud_cos import CosS3Client

from tests.conformance.receiver import Receiver
from tests.conformance.space import Space
from tests.conformance.test_queues import as_sent, the_queue
from tests.conformance.test_templates import canvas, stamp
from tests.service.media import BLUE, RED, Films, near, pictures


def test_a_whole_life(client: CosS3Client, space: Space, films: Films, receiver: Receiver, tmp_path: Path) -> None:
    # Sources, one in a single piece and one in parts.
    bucket = space.bucket
    client.put_object(bucket, films.film("red").read_bytes(), space.key("red.mp4"), EnableMD5=True)
    blue = films.film("blue", "1280x720", seconds=2, filters="noise=alls=100:allf=t")
    assert blue.stat().st_size > 1 << 20
    client.upload_file(bucket, space.key("blue.mp4"), str(blue), PartSize=1)

    # Templates: one is changed before it is used.
    template = client.ci_create_template(bucket, canvas(space))["Template"]["TemplateId"]
    mark = client.ci_create_template(bucket, stamp(space))["Template"]["TemplateId"]
    client.ci_update_template(bucket, template, canvas(space, Height="256"))
    assert len(client.ci_get_template(bucket, Name=space.name)["TemplateList"]) == 2

    # A job of its own and two by the template, which are told of and asked for.
    callback = {"CallBack": receiver.url("/ci")} if space.target.local else {}
    (inline,) = space.submit(client, space.operation("red.mp4", "blue.mp4", to="inline.mp4"), **callback)
    by_template = {"Transcode": None, "TranscodeTemplateId": template}
    two = space.submit(client, *(space.operation("red.mp4", to=f"{name}.mp4", **by_template) for name in "ab"))
    made = [job["JobId"] for job in (inline, *two)]
    ended = [space.until(client, job) for job in made]
    assert [job["State"] for job in ended] == ["Success"] * 3, ended
    assert [_size(job) for job in ended] == [("256", "128"), ("256", "256"), ("256", "256")]
    if callback:
        assert made[0].encode() in receiver.next().body
    listed = client.ci_list_media_jobs(
        bucket, "VideoSynthesis", States="Success", Size=100, StartCreationTime=inline["CreationTime"]
    )
    assert set(made) <= {job["JobId"] for job in listed["JobsDetail"]}

    # Another one is cancelled while the queue stands still.
    queue = the_queue(client, space)
    client.ci_update_media_queue(bucket, queue["QueueId"], as_sent(queue, State="Paused"))
    try:
        (other,) = space.submit(client, space.operation("red.mp4", to="never.mp4"))
        space.until(client, other["JobId"], ("Pause",))
        client.ci_cancel_jobs(bucket, other["JobId"])
    finally:
        client.ci_update_media_queue(bucket, queue["QueueId"], as_sent(queue, State="Active"))
    assert space.job(client, other["JobId"])["State"] == "Cancel"

    # The result, whole and in part.
    client.download_file(bucket, space.key("inline.mp4"), str(tmp_path / "inline.mp4"))
    first = pictures(tmp_path / "inline.mp4")[0]
    assert near(first.at(64, 64), RED)
    assert not near(first.at(192, 64), RED)
    assert not near(first.at(192, 64), BLUE, 4)  # it is noisy, so that it is large
    part = client.get_object(bucket, space.key("inline.mp4"), Range="bytes=4-7")
    assert part["Body"].get_raw_stream().read() == b"ftyp"
    with space.target.session() as stranger:
        reply = stranger.get(client.get_presigned_download_url(bucket, space.key("inline.mp4")))
        assert reply.content == (tmp_path / "inline.mp4").read_bytes()

    # Cleaned up.
    for known in (template, mark):
        client.ci_delete_template(bucket, known)
    keys = _keys(client, space)
    assert keys == [space.key(f"{name}.mp4") for name in ("a", "b", "blue", "inline", "red")]
    client.delete_objects(bucket, {"Object": [{"Key": key} for key in keys], "Quiet": "true"})
    assert _keys(client, space) == []
    assert "TemplateList" not in client.ci_get_template(bucket, Name=space.name)


def _size(job: dict[str, Any]) -> tuple[str, str]:
    video = job["Operation"]["MediaInfo"]["Stream"]["Video"]
    return video["Width"], video["Height"]


def _keys(client: CosS3Client, space: Space) -> list[str]:
    listed = client.list_objects(space.bucket, Prefix=space.key("")).get("Contents", [])
    return [found["Key"] for found in listed]
