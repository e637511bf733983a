"""The codec between messages and XML: order, absence, foreign elements, hostile bytes."""

from __future__ import annotations

import string
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api import xml
from reconciler.api.messages import Job, JobRequest, JobsReply
from tests.properties.strategies import nodes

SMALLEST = (
    b"<Request><Operation><VideoSynthesis><SpliceInfo><Url>a</Url></SpliceInfo></VideoSynthesis>"
    b"<Output><Object>b</Object></Output></Operation></Request>"
)


def read_request(body: str) -> JobRequest:
    return xml.read(JobRequest, body.encode(), "Request")


def request_with(inner: str, *, synthesis: str = "") -> str:
    return (
        f"<Request><Operation><VideoSynthesis><SpliceInfo><Url>a</Url></SpliceInfo>{synthesis}</VideoSynthesis>"
        f"<Output><Object>b</Object></Output>{inner}</Operation></Request>"
    )


@settings(max_examples=20, deadline=None)
@given(nodes(JobRequest))
def test_any_request_survives_manifest_keys(request: JobRequest) -> None:
    assert JobRequest.model_validate(request.plain(), extra="forbid") == request


# Reading.


def test_interleaved_sources_keep_their_order() -> None:
    names = [f"{number}.mp4" for number in range(12)]
    between = "".join(
        f"<SpliceInfo><Url>{name}</Url></SpliceInfo><KeepAudioTrack>true</KeepAudioTrack>" for name in names
    )
    request = read_request(request_with("", synthesis=between))
    assert [info.url for info in request.operation[0].video_synthesis.splice_info] == ["a", *names]


def test_children_may_come_in_any_order() -> None:
    body = (
        "<Request><Operation><Output><Object>b</Object></Output><VideoSynthesis><SpliceInfo><X>1</X><Url>a</Url>"
        "</SpliceInfo></VideoSynthesis></Operation><Tag>VideoSynthesis</Tag></Request>"
    )
    assert read_request(body).operation[0].video_synthesis.splice_info[0].x == 1


@pytest.mark.parametrize("tag", ["Url", "URL"])
def test_url_is_read_in_both_spellings_and_written_in_one(tag: str) -> None:
    request = read_request(SMALLEST.decode().replace("Url", tag))
    assert request.operation[0].video_synthesis.splice_info[0].url == "a"
    assert b"<Url>a</Url>" in xml.write(request, "Request")


@pytest.mark.parametrize(
    "inner",
    [
        "<Transcode/>",
        "<Transcode></Transcode>",
        "<Transcode> \n </Transcode>",
        "<Transcode><Video/></Transcode>",
        "<Transcode><Video><Crf></Crf><Height> </Height></Video></Transcode>",
        "<Transcode><Video><!-- nothing --></Video></Transcode>",
        "<Watermark/>",
        "<UserData/>",
        "<UserData>\n</UserData>",
        "<JobLevel></JobLevel>",
        "<CustomId>7</CustomId>",
        "<New><In><V9>1</V9></In></New>",
        "<?php echo ?>",
    ],
)
def test_empty_and_unknown_elements_are_absent(inner: str) -> None:
    assert read_request(request_with(inner)) == read_request(request_with(""))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("<![CDATA[a & b]]>", "a & b"),
        ("a<!-- not this -->b", "ab"),
        (" keeps its spaces ", " keeps its spaces "),
        ("&#x6f14;示", "演示"),
    ],
)
def test_text(text: str, value: str) -> None:
    assert read_request(request_with(f"<UserData>{text}</UserData>")).operation[0].user_data == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "gbk", "utf-32"])
def test_other_encodings_are_read(encoding: str) -> None:
    named = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{named}"?>' + request_with("<UserData>演示</UserData>")
    request = xml.read_request(JobRequest, text.encode(encoding), "Request")
    assert request.operation[0].user_data == "演示"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("+5", 5),
        ("-0", 0),
        (" 5 ", 5),
        ("\n5\n", 5),
        ("00007", 7),
        ("5.0", 5),
        ("<![CDATA[5]]>", 5),
        ("<!-- five -->5", 5),
        ("", None),
        ("  ", None),
    ],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    body = request_with(f"<JobLevel>{text}</JobLevel>").encode()
    assert xml.read_request(JobRequest, body, "Request").operation[0].job_level == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e999999999", "1e999999999 is not a whole number"),
        ("NaN", "NaN is not a whole number"),
        ("0x10", "0x10 is not a whole number"),
        ("5.5", "5.5 is not a whole number"),
        ("5 5", "5 5 is not a whole number"),
        ("true", "true is not a whole number"),
        ("1_000", "1_000: write a number in the digits 0 to 9"),
        ("٣", "٣: write a number in the digits 0 to 9"),
        ("５", "５: write a number in the digits 0 to 9"),
        ("&#160;5", "\xa05: write a number in the digits 0 to 9"),
        ("9" * 4301, f"{'9' * 40}… is too large"),
    ],
)
def test_what_is_no_whole_number(text: str, reason: str) -> None:
    with pytest.raises(xml.ContentError) as caught:
        read_request(request_with(f"<JobLevel>{text}</JobLevel>"))
    assert str(caught.value) == f"Request.Operation[0].JobLevel: {reason}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e999999999", "1e999999999: write a number with at most 30 digits on either side of the point"),
        ("1e-31", "1e-31: write a number with at most 30 digits on either side of the point"),
        ("9" * 1_000_000, f"{'9' * 40}…: write a number with at most 30 digits on either side of the point"),
        ("NaN", "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ("0x10", "0x10 is not a number"),
        ("٣", "٣: write a number in the digits 0 to 9"),
        ("1_0", "1_0: write a number in the digits 0 to 9"),
    ],
)
def test_what_is_no_number(text: str, reason: str) -> None:
    with pytest.raises(xml.ContentError) as caught:
        read_request(request_with(f"<Transcode><Video><Fps>{text}</Fps></Video></Transcode>"))
    assert str(caught.value) == f"Request.Operation[0].Transcode.Video.Fps: {reason}"


# What is wrong is said with its place.


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        ("<Request/>", "Request.Operation: is missing", 1),
        (
            "<Request>\n<Operation>\n<Output><Object>b</Object></Output></Operation></Request>",
            "Request.Operation[0].VideoSynthesis: is missing",
            2,
        ),
        (
            request_with("\n<Transcode>\n<Video>\n<Width>wide</Width></Video></Transcode>"),
            "Request.Operation[0].Transcode.Video.Width: wide is not a whole number",
            4,
        ),
        (
            request_with("\n<Transcode><Video><Fps>1/2</Fps></Video></Transcode>"),
            "Request.Operation[0].Transcode.Video.Fps: 1/2 is not a number",
            2,
        ),
        (
            request_with("", synthesis="\n<SpliceInfo>\n<Url>c</Url>\n<X>1.5</X></SpliceInfo>"),
            "Request.Operation[0].VideoSynthesis.SpliceInfo[1].X: 1.5 is not a whole number",
            4,
        ),
        (
            request_with("", synthesis="<KeepAudioTrack>yes</KeepAudioTrack>"),
            "Request.Operation[0].VideoSynthesis.KeepAudioTrack: yes: write true or false",
            1,
        ),
        (
            request_with(f"<JobLevel>{'9' * 5000}</JobLevel>"),
            f"Request.Operation[0].JobLevel: {'9' * 40}… is too large",
            1,
        ),
    ],
)
def test_a_value_that_does_not_fit(body: str, message: str, line: int) -> None:
    with pytest.raises(xml.XmlError) as caught:
        read_request(body)
    assert (str(caught.value), caught.value.line) == (message, line)


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        (
            request_with("\n<Output><Object>c</Object></Output>"),
            "Request.Operation[0].Output: 2 are there, only one is taken",
            2,
        ),
        (
            f"<Request><Tag>a</Tag>\n<Tag>a</Tag>{SMALLEST.decode()[9:]}",
            "Request.Tag: 2 are there, only one is taken",
            2,
        ),
        (
            request_with("", synthesis="<SpliceInfo><Url>a</Url>\n<URL>b</URL></SpliceInfo>"),
            "Request.Operation[0].VideoSynthesis.SpliceInfo[1].Url: 2 are there, only one is taken",
            2,
        ),
        (
            request_with("<WatermarkTemplateId>t1</WatermarkTemplateId>\n" * 5),
            "Request.Operation[0].WatermarkTemplateId: 5 are there, at most 4 are taken",
            2,
        ),
        (
            request_with("<UserData>a\n<b>c</b></UserData>"),
            "Request.Operation[0].UserData: there are elements in its text",
            1,
        ),
        (
            request_with("<UserData><b/>a</UserData>"),
            "Request.Operation[0].UserData: there are elements in its text",
            1,
        ),
        (request_with("<Transcode>mp4</Transcode>"), "Request.Operation[0].Transcode: there is text beside its", 1),
        (request_with("Hello"), "Request.Operation[0]: there is text beside its elements", 1),
        ("<Request>Hello</Request>", "Request: there is text beside its elements", 1),
    ],
)
def test_in_a_request_nothing_is_without_effect(body: str, message: str, line: int) -> None:
    with pytest.raises(xml.ContentError) as caught:
        xml.read_request(JobRequest, body.encode(), "Request", most=4)
    assert str(caught.value).startswith(message)
    assert caught.value.line == line


def test_a_reply_is_read_leniently() -> None:
    body = b"<Response>text<NextToken>1<b/></NextToken><NextToken>2</NextToken></Response>"
    assert xml.read(JobsReply, body, "Response").next_token == "1"


def test_unknown_elements_may_hold_what_they_like() -> None:
    inner = "<New>text<In/>text</New><New/>"
    assert xml.read_request(JobRequest, request_with(inner).encode(), "Request") == read_request(request_with(""))


# What is hostile costs little: not measured in seconds, but in the functions that are called.


def work(body: bytes) -> tuple[int, str]:
    """Read a request; return how many functions were called for it and how it was refused."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    reason = ""
    sys.setprofile(count)
    try:
        xml.read_request(JobRequest, body, "Request")
    except xml.XmlError as error:
        reason = str(error)
    finally:
        sys.setprofile(None)
    return calls, reason


MANY = 1 << 20
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SOURCES = SMALLEST.replace(b"</SpliceInfo>", b"</SpliceInfo>" + b"<SpliceInfo><Url>a</Url></SpliceInfo>" * 20_000)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<Request>" + b"<a/>" * (MANY // 4) + b"</Request>", "more than 100000 tags are not read"),
        (b"<" * MANY, "more than 100000 tags are not read"),
        ((b"<Request>" + b"<a/>" * 200_000).decode().encode("utf-16"), "more than 100000 tags are not read"),
        (f'<!DOCTYPE Request [<!ENTITY l0 "ha">{LAUGHS}]><Request>&l9;</Request>'.encode(), "not well-formed XML: Max"),
        (
            b"<!DOCTYPE R [<!ENTITY a '" + b"x" * 20_000 + b"'>]><Request b='" + b"&a;" * 300_000 + b"'/>",
            "not well-formed XML: Maximum entity amplification",
        ),
        (b"<Request>" + b"<a>" * 90_000, "not well-formed XML: Excessive depth"),
        (b"<" + b"x" * MANY + b"/>", "not well-formed XML: Name too long"),
        (b"<" + b"x" * 49_000 + b"/>", f"the root element is `{'x' * 200}…`"),
        (b"<Request a='" + b"x" * MANY + b"'/>", "Request.Operation: is missing"),
        (b"<Request " + b"".join(b"a%d='' " % n for n in range(80_000)) + b"/>", "Request.Operation: is missing"),
        (SMALLEST + b"<a/>" * 1000, "not well-formed XML: Extra content"),
        (SMALLEST.replace(b">a<", b">" + b"&lt;" * 200_000 + b"<"), ""),
    ],
)
def test_a_hostile_document_is_little_work(body: bytes, reason: str) -> None:
    calls, said = work(body)
    assert said.startswith(reason)
    assert len(said) < 300
    assert calls < 1500


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (SOURCES, "Request.Operation[0].VideoSynthesis.SpliceInfo: 20001 are there, at most 1000 are taken"),
        (
            SMALLEST.replace(b"<Output>", b"<WatermarkTemplateId>t</WatermarkTemplateId>" * 20_000 + b"<Output>"),
            "Request.Operation[0].WatermarkTemplateId: 20000 are there, at most 1000 are taken",
        ),
        (
            b"<Request>" + b"<Operation><a/></Operation>" * 20_000 + b"</Request>",
            "Request.Operation: 20000 are there, at most 1000 are taken",
        ),
    ],
)
def test_a_flood_of_elements_is_looked_at_once(body: bytes, reason: str) -> None:
    calls, said = work(body)
    assert said == reason
    assert calls < 5 * 20_000


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        (b"", "not well-formed XML", 0),
        (b"   ", "not well-formed XML", 1),
        (b"{}", "not well-formed XML", 1),
        (b"<Request>", "not well-formed XML", 1),
        (b"<Request>\n<Tag>\n</Request>", "not well-formed XML", 3),
        (b"<Request>&nosuch;</Request>", "not well-formed XML", 1),
        (b"<Request>\x00</Request>", "not well-formed XML", 1),
        (b"<Request>\xff\xfe</Request>", "not well-formed XML", 1),
        (b'<?xml version="1.0" encoding="klingon"?><Request/>', "not well-formed XML", 1),
        (b"<x:Request/>", "not well-formed XML: Namespace prefix x on Request is not defined, line 1, column 11", 1),
        (b"<Response/>", "the root element is `Response`, expected `Request`", 1),
        (b"\n\n<request/>", "the root element is `request`, expected `Request`", 3),
        (b"<Request xmlns='urn:x'/>", "the root element is `{urn:x}Request`, expected `Request`", 1),
        (b"<!DOCTYPE Request><Request/>", "a document type is not allowed", 1),
        (
            b'<!DOCTYPE Request [<!ENTITY f SYSTEM "file:///etc/passwd">]><Request><Tag>&f;</Tag></Request>',
            "a document type is not allowed",
            1,
        ),
        (b'<!DOCTYPE Request SYSTEM "http://127.0.0.1:9/x.dtd"><Request/>', "a document type is not allowed", 1),
    ],
)
def test_hostile_documents(body: bytes, message: str, line: int) -> None:
    with pytest.raises(xml.XmlError) as caught:
        xml.read(JobRequest, body, "Request")
    assert str(caught.value).startswith(message)
    if line:
        assert caught.value.line == line


def test_a_billion_laughs_are_refused() -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    body = f'<!DOCTYPE Request [<!ENTITY l0 "ha">{entities}]><Request a="&l9;"><Tag>&l9;</Tag></Request>'
    with pytest.raises(xml.XmlError):
        read_request(body)


@pytest.mark.parametrize("tag", ["Operation", "x"])
def test_a_tower_of_elements_is_refused(tag: str) -> None:
    with pytest.raises(xml.XmlError, match=r"not well-formed XML: .*depth"):
        read_request(f"<Request>{f'<{tag}>' * 5000}{f'</{tag}>' * 5000}</Request>")


PIECES = st.lists(
    st.sampled_from(
        [
            *("<Request>", "</Request>", "<Operation>", "</Operation>", "<VideoSynthesis>", "</VideoSynthesis>"),
            *(
                "<SpliceInfo>",
                "</SpliceInfo>",
                "<Url>",
                "</Url>",
                "<X>",
                "</X>",
                "<Transcode/>",
                "<Output>",
                "</Output>",
            ),
            *(
                "<Object>b</Object>",
                "<![CDATA[",
                "]]>",
                "<!--",
                "-->",
                "&amp;",
                "&x;",
                "<?xml?>",
                "true",
                "12",
                " ",
                "é",
            ),
            *string.punctuation,
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | PIECES.map(str.encode) | PIECES.map(lambda text: f"<Request>{text}</Request>".encode()))
def test_garbage_raises_nothing_but_xml_error(body: bytes) -> None:
    try:
        request = xml.read(JobRequest, body, "Request")
    except xml.XmlError:
        return
    assert request.operation


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SMALLEST) - 1), st.binary(min_size=1, max_size=3))
def test_a_damaged_request_raises_nothing_but_xml_error(position: int, damage: bytes) -> None:
    try:
        request = xml.read(JobRequest, SMALLEST[:position] + damage + SMALLEST[position + 1 :], "Request")
    except xml.XmlError:
        return
    assert request.operation


# Writing.


def test_write_is_compact_and_pretty_is_indented() -> None:
    request = xml.read(JobRequest, SMALLEST, "Request")
    assert xml.write(request, "Request") == SMALLEST.replace(b"<Request>", b"<Request><Tag>VideoSynthesis</Tag>")
    lines = xml.pretty(request, "Request").splitlines()
    assert lines[:3] == ["<Request>", "  <Tag>VideoSynthesis</Tag>", "  <Operation>"]


def test_a_character_that_xml_cannot_carry_is_replaced() -> None:
    job = Job(job_id="j1", state="Failed", message="\x1b[31mInvalid\x00 data \ud800")
    written = xml.write(job, "JobsDetail")
    assert xml.read(Job, written, "JobsDetail").message == "\ufffd[31mInvalid\ufffd data \ufffd"


def test_an_empty_text_is_an_empty_element() -> None:
    assert xml.write(JobsReply(next_token=""), "Response") == b"<Response><NextToken></NextToken></Response>"
