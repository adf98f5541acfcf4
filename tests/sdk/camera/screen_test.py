"""Screen: clips, pictures, the page in a browser."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from patience import HANG, PATIENCE
from tody.camera import Camera, Screen
from tody.errors import CameraError, UsageError

cv2 = pytest.importorskip("cv2")

GREEN = (40, 200, 40)


class Corner:
    """Something found: a green square in the corner."""

    def draw(self, frame: np.ndarray) -> np.ndarray:
        frame = frame.copy()
        frame[:16, :16] = GREEN
        return frame


def show(screen: Screen, frames: int = 6, found: Corner | None = None) -> None:
    with Camera(f"fake://shapes?size=96x64&frames={frames}") as camera, screen:
        for frame in camera:
            screen.show(frame, found)


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out.mkv"])
def test_clip_can_be_read_again(tmp_path: Path, name: str) -> None:
    show(Screen(tmp_path / name, fps=12), 9)
    with Camera(tmp_path / name) as camera:
        assert camera.fps == pytest.approx(12, abs=0.1)
        assert [f.shape for f in camera] == [(64, 96, 3)] * 9


def test_clip_scales_frames_of_another_size(tmp_path: Path) -> None:
    with Screen(tmp_path / "out.avi") as screen:
        screen.show(np.zeros((64, 96, 3), np.uint8))
        screen.show(np.zeros((30, 40, 3), np.uint8))
    with Camera(tmp_path / "out.avi") as camera:
        assert len(list(camera)) == 2


def test_folder_gets_a_picture_for_each_frame(tmp_path: Path) -> None:
    show(Screen(f"{tmp_path}/new/"), 3)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["000000.jpg", "000001.jpg", "000002.jpg"]


def test_picture_keeps_the_last_frame_with_what_was_found(tmp_path: Path) -> None:
    with Camera("fake://shapes?size=96x64&frames=4") as camera, Screen(tmp_path / "out.png") as screen:
        for frame in camera:
            before = frame.copy()
            screen.show(frame, Corner())
            assert np.array_equal(frame, before), "the caller's frame was drawn on"
    image = cv2.imread(str(tmp_path / "out.png"))
    assert tuple(image[3, 3]) == GREEN and np.array_equal(image[20:], before[20:])


@pytest.mark.parametrize("target", ["out.xyz", "ftp://x", "rtsp://x"])
def test_unknown_target(target: str) -> None:
    with pytest.raises(UsageError):
        Screen(target)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CameraError):
        Screen(tmp_path / "no" / "out.mp4")


def test_window_without_display_is_an_error_and_no_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UsageError, match="http://:8080"):
        Screen("window")


@pytest.fixture
def page() -> Iterator[Screen]:
    """A page that shows a picture whose corner is green, about 30 times a second."""
    stop = threading.Event()
    image = np.full((48, 64, 3), 99, np.uint8)

    def body(screen: Screen) -> None:
        while not stop.wait(0.03):
            screen.show(image, Corner())

    with Screen("http://127.0.0.1:0") as screen:
        thread = threading.Thread(target=body, args=(screen,))
        thread.start()
        yield screen
        stop.set()
        thread.join()


def test_page_stream_and_picture(page: Screen) -> None:
    html = urllib.request.urlopen(page.url, timeout=PATIENCE).read().decode()
    assert "<img" in html and "/stream" in html
    jpeg = urllib.request.urlopen(page.url + "frame.jpg", timeout=PATIENCE).read()
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(image[4, 4].astype(int) - GREEN).max() < 12
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(page.url + "../etc/passwd", timeout=PATIENCE)


def test_page_serves_several_at_once_and_forgets_those_who_leave(page: Screen) -> None:
    streams = [urllib.request.urlopen(page.url + "stream", timeout=PATIENCE) for _ in range(3)]
    assert all(b"Content-Type: image/jpeg" in s.read(4000) for s in streams)
    streams.pop().close()
    time.sleep(0.1)
    assert all(s.read(4000) for s in streams)
    for s in streams:
        s.close()


def test_page_ends_at_once_and_gives_the_port_back() -> None:
    with Screen("http://127.0.0.1:0") as screen:
        screen.show(np.zeros((8, 8, 3), np.uint8))
        stream = urllib.request.urlopen(screen.url + "stream", timeout=PATIENCE)
        url, begin = screen.url, time.monotonic()
    assert time.monotonic() - begin < HANG
    stream.close()
    Screen(url).close()


FULL_DISK = """
import resource, signal, sys
from tody.camera import Camera, Screen
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
try:
    with Camera("fake://shapes?size=96x64&frames=60") as camera, Screen(sys.argv[1]) as screen:
        for frame in camera:
            screen.show(frame)
except Exception as e:
    print(type(e).__name__, e)
"""


@pytest.mark.parametrize("name", ["out.avi", "out.mp4", "out.mkv"])
@pytest.mark.parametrize("limit", [4096, 20_000, 10_000_000])
def test_clip_that_does_not_fit_on_the_disk_says_so(tmp_path: Path, name: str, limit: int) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name), str(limit)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert ("CameraError" in said and "not complete" in said) == (limit < 1_000_000), said


@pytest.mark.parametrize("target", ["", None, 5, "mqtt://x"])
def test_target_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="nothing can be shown on"):
        Screen(target)  # type: ignore[arg-type]


def test_port_in_use(page: Screen) -> None:
    with pytest.raises(CameraError, match="cannot be used"):
        Screen(page.url)


def test_port_that_is_none() -> None:
    with pytest.raises(UsageError):
        Screen("http://:99999")


def test_a_real_browser_shows_the_picture(page: Screen, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium here")
    shot = tmp_path / "shot.png"
    flags = f"--headless --no-sandbox --disable-gpu --window-size=800,600 --timeout=4000 --user-data-dir={tmp_path}/profile"
    subprocess.run(
        [browser, *flags.split(), f"--screenshot={shot}", page.url], timeout=PATIENCE, check=True, capture_output=True
    )
    image = cv2.imread(str(shot)).astype(int)
    green = (np.abs(image - GREEN).max(axis=2) < 25).sum()
    assert green > 1000, "the corner drawn on the frames is not on the browser's screen"
