"""Every encoding parameter of reference/video-synthesis.md §2.4 and §2.5, as XML and under manifest keys."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.transcode import (
    AigcMetadata,
    Audio,
    AudioMix,
    ClipConfig,
    ColorParam,
    Container,
    DashEncrypt,
    EffectConfig,
    HlsEncrypt,
    TimeInterval,
    Transcode,
    TransConfig,
    Video,
)

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    TimeInterval: ("<Start>1.5</Start><Duration>60</Duration>", {"start": 1.5, "duration": 60}),
    ClipConfig: ("<Duration>5</Duration>", {"duration": 5}),
    Container: (
        "<Format>hls</Format><ClipConfig><Duration>2.5</Duration></ClipConfig>",
        {"format": "hls", "clip_config": {"duration": 2.5}},
    ),
    ColorParam: (
        (
            "<ColorRange>tv</ColorRange><ColorSpace>bt709</ColorSpace><ColorTrc>bt709</ColorTrc>"
            "<ColorPrimaries>bt709</ColorPrimaries>"
        ),
        {"color_range": "tv", "color_space": "bt709", "color_trc": "bt709", "color_primaries": "bt709"},
    ),
    Video: (
        (
            "<Codec>H.264</Codec><Width>1280</Width><Height>960</Height><Fps>29.97</Fps><Remove>false</Remove>"
            "<Profile>high</Profile><Bitrate>1500</Bitrate><Crf>23</Crf><Gop>250</Gop><Preset>medium</Preset>"
            "<Bufsize>3000</Bufsize><Maxrate>2000</Maxrate><Pixfmt>yuv420p</Pixfmt><LongShortMode>false</LongShortMode>"
            "<Rotate>90</Rotate><Roi>none</Roi><Crop>1280:800:0:140</Crop><Interlaced>false</Interlaced>"
            "<HlsTsTime>5</HlsTsTime><ScanMode>progressive</ScanMode><ColorParam><ColorRange>tv</ColorRange></ColorParam>"
            "<StdExtInfo>single-pps=1</StdExtInfo>"
        ),
        {
            "codec": "H.264",
            "width": 1280,
            "height": 960,
            "fps": 29.97,
            "remove": False,
            "profile": "high",
            "bitrate": 1500,
            "crf": 23,
            "gop": 250,
            "preset": "medium",
            "bufsize": 3000,
            "maxrate": 2000,
            "pixfmt": "yuv420p",
            "long_short_mode": False,
            "rotate": 90,
            "roi": "none",
            "crop": "1280:800:0:140",
            "interlaced": False,
            "hls_ts_time": 5,
            "scan_mode": "progressive",
            "color_param": {"color_range": "tv"},
            "std_ext_info": "single-pps=1",
        },
    ),
    Audio: (
        (
            "<Codec>aac</Codec><Samplerate>44100</Samplerate><Bitrate>128</Bitrate><Channels>2</Channels>"
            "<Remove>false</Remove><KeepTwoTracks>false</KeepTwoTracks><SwitchTrack>false</SwitchTrack>"
            "<SampleFormat>fltp</SampleFormat>"
        ),
        {
            "codec": "aac",
            "samplerate": 44100,
            "bitrate": 128,
            "channels": 2,
            "remove": False,
            "keep_two_tracks": False,
            "switch_track": False,
            "sample_format": "fltp",
        },
    ),
    HlsEncrypt: (
        "<IsHlsEncrypt>true</IsHlsEncrypt><UriKey>http://key.example.com/1</UriKey>",
        {"is_hls_encrypt": True, "uri_key": "http://key.example.com/1"},
    ),
    DashEncrypt: (
        "<IsEncrypt>true</IsEncrypt><UriKey>http://key.example.com/1</UriKey>",
        {"is_encrypt": True, "uri_key": "http://key.example.com/1"},
    ),
    AigcMetadata: (
        (
            "<Label>1</Label><ContentProducer>studio</ContentProducer><ProduceID>p-1</ProduceID>"
            "<ReservedCode1>YQ==</ReservedCode1><ReservedCode2>Yg==</ReservedCode2>"
            "<ContentPropagator>channel</ContentPropagator><PropagateID>q-1</PropagateID>"
        ),
        {
            "label": "1",
            "content_producer": "studio",
            "produce_id": "p-1",
            "reserved_code1": "YQ==",
            "reserved_code2": "Yg==",
            "content_propagator": "channel",
            "propagate_id": "q-1",
        },
    ),
    TransConfig: (
        (
            "<AdjDarMethod>pad</AdjDarMethod><IsCheckReso>true</IsCheckReso><ResoAdjMethod>1</ResoAdjMethod>"
            "<IsCheckVideoBitrate>true</IsCheckVideoBitrate><VideoBitrateAdjMethod>0</VideoBitrateAdjMethod>"
            "<IsCheckAudioBitrate>true</IsCheckAudioBitrate><AudioBitrateAdjMethod>1</AudioBitrateAdjMethod>"
            "<IsCheckVideoFps>true</IsCheckVideoFps><VideoFpsAdjMethod>0</VideoFpsAdjMethod>"
            "<DeleteMetadata>true</DeleteMetadata><IsHdr2Sdr>false</IsHdr2Sdr><TranscodeIndex>0</TranscodeIndex>"
            "<HlsEncrypt><UriKey>k</UriKey></HlsEncrypt><DashEncrypt><UriKey>k</UriKey></DashEncrypt>"
            "<AIGCMetadata><ProduceID>p-1</ProduceID></AIGCMetadata>"
        ),
        {
            "adj_dar_method": "pad",
            "is_check_reso": True,
            "reso_adj_method": 1,
            "is_check_video_bitrate": True,
            "video_bitrate_adj_method": 0,
            "is_check_audio_bitrate": True,
            "audio_bitrate_adj_method": 1,
            "is_check_video_fps": True,
            "video_fps_adj_method": 0,
            "delete_metadata": True,
            "is_hdr2_sdr": False,
            "transcode_index": 0,
            "hls_encrypt": {"uri_key": "k"},
            "dash_encrypt": {"uri_key": "k"},
            "aigc_metadata": {"produce_id": "p-1"},
        },
    ),
    EffectConfig: (
        (
            "<EnableStartFadein>true</EnableStartFadein><StartFadeinTime>2.5</StartFadeinTime>"
            "<EnableEndFadeout>false</EnableEndFadeout><EndFadeoutTime>0</EndFadeoutTime>"
            "<EnableBgmFade>true</EnableBgmFade><BgmFadeTime>1.7</BgmFadeTime>"
        ),
        {
            "enable_start_fadein": True,
            "start_fadein_time": 2.5,
            "enable_end_fadeout": False,
            "end_fadeout_time": 0,
            "enable_bgm_fade": True,
            "bgm_fade_time": 1.7,
        },
    ),
    AudioMix: (
        (
            "<AudioSource>in/music.mp3</AudioSource><MixMode>Once</MixMode><Replace>true</Replace>"
            "<EffectConfig><EnableBgmFade>false</EnableBgmFade></EffectConfig>"
        ),
        {
            "audio_source": "in/music.mp3",
            "mix_mode": "Once",
            "replace": True,
            "effect_config": {"enable_bgm_fade": False},
        },
    ),
    Transcode: (
        (
            "<TimeInterval><Start>0</Start></TimeInterval><Container><Format>mp4</Format></Container>"
            "<Video><Width>1280</Width></Video><Audio><Codec>aac</Codec></Audio>"
            "<TransConfig><IsCheckReso>false</IsCheckReso></TransConfig>"
            "<AudioMix><AudioSource>a.mp3</AudioSource></AudioMix>"
            "<AudioMixArray><AudioSource>b.mp3</AudioSource></AudioMixArray>"
            "<AudioMixArray><AudioSource>c.mp3</AudioSource></AudioMixArray>"
        ),
        {
            "time_interval": {"start": 0},
            "container": {"format": "mp4"},
            "video": {"width": 1280},
            "audio": {"codec": "aac"},
            "trans_config": {"is_check_reso": False},
            "audio_mix": {"audio_source": "a.mp3"},
            "audio_mix_array": [{"audio_source": "b.mp3"}, {"audio_source": "c.mp3"}],
        },
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("1500", 1500)])
def test_bitrate_is_a_number_or_auto(text: str, value: object) -> None:
    video = xml.read(Video, f"<Video><Bitrate>{text}</Bitrate></Video>".encode(), "Video")
    assert video.bitrate == value
    assert xml.write(video, "Video").decode() == f"<Video><Bitrate>{text}</Bitrate></Video>"


def test_bitrate_is_nothing_else() -> None:
    with pytest.raises(xml.XmlError, match=r"^Video\.Bitrate: fast is neither a whole number nor auto$"):
        xml.read(Video, b"<Video><Bitrate>fast</Bitrate></Video>", "Video")


def test_decimals_are_kept_as_written() -> None:
    video = xml.read(Video, b"<Video><Fps>25.000000</Fps></Video>", "Video")
    assert str(video.fps) == "25.000000"
    assert video.fps == Decimal(25)


def test_a_misspelt_key_is_refused_in_a_manifest() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Transcode.model_validate({"video": {"widht": 1280}}, extra="forbid")
