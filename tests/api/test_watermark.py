"""Every watermark node of reference/video-synthesis.md §2.6 and §2.7, as XML and under manifest keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api.node import Node
from reconciler.api.watermark import DigitalWatermark, Image, SlideConfig, TextMark, Watermark

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    SlideConfig: (
        "<SlideMode>ScrollFromLeft</SlideMode><XSlideSpeed>1</XSlideSpeed><YSlideSpeed>0</YSlideSpeed>",
        {"slide_mode": "ScrollFromLeft", "x_slide_speed": 1, "y_slide_speed": 0},
    ),
    Image: (
        (
            "<Url>in/logo.png</Url><Mode>Fixed</Mode><Width>128</Width><Height>64</Height>"
            "<Transparency>100</Transparency><Background>false</Background>"
        ),
        {
            "url": "in/logo.png",
            "mode": "Fixed",
            "width": 128,
            "height": 64,
            "transparency": 100,
            "background": False,
        },
    ),
    TextMark: (
        (
            "<Text>demo</Text><FontSize>25</FontSize><FontType>arial.ttf</FontType><FontColor>0xffffff</FontColor>"
            "<Transparency>80</Transparency>"
        ),
        {
            "text": "demo",
            "font_size": 25,
            "font_type": "arial.ttf",
            "font_color": "0xffffff",
            "transparency": 80,
        },
    ),
    Watermark: (
        (
            "<Type>Text</Type><Pos>TopRight</Pos><LocMode>Absolute</LocMode><Dx>16</Dx><Dy>12.5</Dy>"
            "<StartTime>0</StartTime><EndTime>100.5</EndTime><SlideConfig><SlideMode>Default</SlideMode></SlideConfig>"
            "<Image><Url>in/logo.png</Url></Image><Text><Text>demo</Text></Text>"
        ),
        {
            "type": "Text",
            "pos": "TopRight",
            "loc_mode": "Absolute",
            "dx": 16,
            "dy": 12.5,
            "start_time": 0,
            "end_time": 100.5,
            "slide_config": {"slide_mode": "Default"},
            "image": {"url": "in/logo.png"},
            "text": {"text": "demo"},
        },
    ),
    DigitalWatermark: (
        (
            "<Message>owner-1</Message><Type>Text</Type><Version>V1</Version><IgnoreError>true</IgnoreError>"
            "<State>Success</State>"
        ),
        {"message": "owner-1", "type": "Text", "version": "V1", "ignore_error": True, "state": "Success"},
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])
