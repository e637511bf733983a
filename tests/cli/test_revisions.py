"""``--changed-since``: real repositories, edited and planned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

MANIFEST = """version: 1
defaults:
  layout: side
  transcode:
    container: {format: mp4}
    video: {codec: H.264, width: 128, height: 128, preset: veryfast, fps: 25}
outputs:
  lesson:
    for_each: data/lessons.csv
    with: {clip: "in/{{ each.value.clip }}.mp4"}
    user_data: "{{ vars.note }}"
    output: "out/{{ each.value.id }}.mp4"
    key: "{{ each.value.id }}"
  all:
    video_synthesis: {splice_info: [{output: 'lesson["1"]'}]}
    layout: null
    output: out/all.mp4
"""
