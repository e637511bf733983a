"""Finding FFmpeg, and what it can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import RenderError
from reconciler.service.ffmpeg import ENCODERS, FFmpeg, locate
from tests.service.processes import program


def test_the_packages_own_ffmpeg_is_found_without_starting_it() -> None:
    found = locate({"PATH": "/nowhere"})
    assert "imageio_ffmpeg" in found.path
    assert found.version.startswith(("n", "4", "5", "6", "7", "8", "9"))


def test_another_ffmpeg_can_be_named(tmp_path: Path) -> None:
    other = program(tmp_path / "my-ffmpeg", "echo 'ffmpeg version 7.1 Copyright'")
    quiet = {"LC_ALL": "C", "SVT_LOG": "1"}
    assert locate({"RECONCILER_FFMPEG": str(other)}) == FFmpeg(str(other), quiet)
    found = locate({"RECONCILER_FFMPEG": "my-ffmpeg", "PATH": str(tmp_path)})
    assert (found.path, found.version) == (str(other), "7.1")


def test_one_that_is_named_from_here_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "my-ffmpeg", "")
    monkeypatch.chdir(tmp_path)
    assert locate({"RECONCILER_FFMPEG": "./my-ffmpeg"}).path == str(tmp_path / "my-ffmpeg")


def test_one_on_the_path_is_taken_where_the_package_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.service.ffmpeg._bundled", lambda: None)
    other = program(tmp_path / "ffmpeg", "")
    assert locate({"PATH": str(tmp_path)}).path == str(other)
    with pytest.raises(RenderError, match="FFmpeg is missing") as caught:
        locate({"PATH": "/nowhere"})
    assert "install imageio-ffmpeg" in (caught.value.advice or "")


def test_a_name_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(RenderError) as caught:
        locate({"RECONCILER_FFMPEG": str(tmp_path / "absent")})
    assert str(caught.value) == f"RECONCILER_FFMPEG names {tmp_path}/absent, which is not a program"
    assert caught.value.advice == (
        "install imageio-ffmpeg, or set RECONCILER_FFMPEG to the path of an FFmpeg 5.1 or newer"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("echo hello", "other is not FFmpeg"), ("exit 3", "FFmpeg does not run: .* returned non-zero exit status 3")],
)
def test_a_program_that_is_not_ffmpeg(tmp_path: Path, text: str, message: str) -> None:
    found = locate({"RECONCILER_FFMPEG": str(program(tmp_path / "other", text))})
    with pytest.raises(RenderError, match=message):
        _ = found.version


def test_it_is_asked_for_its_version_once(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    other = program(tmp_path / "other", f"echo >>{asked}; echo 'ffmpeg version 7.1 Copyright'")
    found = locate({"RECONCILER_FFMPEG": str(other)})
    assert (found.version, found.version, asked.read_text()) == ("7.1", "7.1", "\n")


def test_the_packages_own_ffmpeg_has_every_encoder() -> None:
    assert locate({"PATH": "/nowhere"}).lacking == ()


def test_encoders_that_another_ffmpeg_does_not_have(tmp_path: Path) -> None:
    said = "echo ' V....D libx264   H.264'; echo ' V....D libx265rgb  no'; echo ' A....D aac   AAC'"
    found = locate({"RECONCILER_FFMPEG": str(program(tmp_path / "other", said))})
    assert found.lacking == ("libx265", "libvpx", "libvpx-vp9", "libsvtav1", "libmp3lame", "libopus", "libvorbis")
    assert set(found.lacking) < set(ENCODERS)


def test_only_what_a_program_needs_to_start_is_passed_on() -> None:
    environ = {"PATH": "/nowhere", "HOME": "/root", "TENCENTCLOUD_SECRET_KEY": "hush", "AWS_SECRET": "hush"}
    assert locate(environ).environment == {"PATH": "/nowhere", "HOME": "/root", "LC_ALL": "C", "SVT_LOG": "1"}
