"""Camera: every kind of source, for real where a machine without a camera can."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rtsp import RtspCamera

from patience import HANG, PATIENCE, wait_until
from tody.camera import Camera, Screen
from tody.camera.camera import kind_of
from tody.camera.pictures import is_complete
from tody.errors import CameraError, UsageError

cv2 = pytest.importorskip("cv2")


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A plain colour that survives lossy coding: its blue tells the index."""
    return np.full((height, width, 3), (8 * index, 90, 160), np.uint8)


def numbered(number: int) -> np.ndarray:
    """A plain colour whose blue and green tell a number below 1,024."""
    return np.full((48, 64, 3), (8 * (number % 32), 8 * (number // 32), 160), np.uint8)


def number_of(frame: np.ndarray) -> int:
    blue, green = (round(float(frame[..., c].mean()) / 8) for c in (0, 1))
    return blue + 32 * green


def write_clip(path: Path, frames: int, fourcc: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 10.0, (64, 48))
    for i in range(frames):
        writer.write(picture(i))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "camera"),
        ("/dev/video2", "camera"),
        ("csi://0", "csi"),
        ("rtsp://u:p@h/x", "rtsp"),
        ("http://h/x", "http"),
        ("gst:videotestsrc ! appsink", "gst"),
        ("fake://door", "fake"),
        ("a.JPG", "pictures"),
        ("dir/*.png", "pictures"),
        ("clip.mp4", "clip"),
    ],
)
def test_kind_of_source(source: str, kind: str) -> None:
    assert kind_of(source) == kind


def test_unknown_scheme_names_the_known_ones_and_hides_the_password() -> None:
    with pytest.raises(CameraError, match="rtsp:") as error:
        Camera("ftp://user:secret@host/x")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("scene", ["bars", "door", "shapes"])
def test_fake_is_the_same_every_time_and_moves(scene: str) -> None:
    uri = f"fake://{scene}?size=160x120&frames=5"
    with Camera(uri) as one, Camera(uri) as two:
        first, second = list(one), list(two)
    assert len(first) == 5 and first[0].shape == (120, 160, 3) and first[0].dtype == np.uint8
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(not np.array_equal(a, b) for a, b in pairwise(first))


def test_fake_tells_index_time_size_and_rate() -> None:
    with Camera("fake://door?frames=3", fps=10, width=320, height=240) as camera:
        times = [(camera.index, camera.time_s) for _ in camera]
        assert (camera.size, camera.fps, camera.live, camera.dropped) == ((320, 240), 10, False, 0)
    assert times == [(0, 0.0), (1, 0.1), (2, 0.2)]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("fake://nothing", "scenes are bars, door"),
        ("fake://door?size=9x9", "16 to 8192"),
        ("fake://door?colour=red", "not colour"),
        ("fake://door?frames=x", "'x'"),
        ("fake://door?frames=-1", "frames must"),
        ("fake://door?fps=nan", "fps must"),
    ],
)
def test_fake_refuses_what_it_does_not_know_and_says_why(uri: str, why: str) -> None:
    with pytest.raises(CameraError, match=why):
        Camera(uri)


def test_loop_begins_again() -> None:
    with Camera("fake://bars?frames=2&size=32x32", loop=True) as camera:
        frames = [next(camera) for _ in range(5)]
    assert np.array_equal(frames[0], frames[4])


def test_live_source_gives_the_latest_frame_and_counts_the_dropped() -> None:
    with Camera("fake://bars?size=64x48&fps=100&frames=0&live=1") as camera:
        next(camera)
        wait_until(lambda: camera.dropped >= 20)
        next(camera)
        assert camera.index == 1
        assert 20 < round(100 * camera.time_s) <= camera.dropped + 1  # the latest, and all before it but two were dropped


def test_live_source_that_ends_by_its_own_counting_is_no_error() -> None:
    with Camera("fake://bars?size=64x48&fps=100&frames=10&live=1") as camera:
        assert 1 <= len(list(camera)) <= 10


def test_clip_gives_every_frame(tmp_path: Path) -> None:
    with Camera(write_clip(tmp_path / "a.avi", 12)) as camera:
        blues = [round(float(f[..., 0].mean()) / 8) for f in camera]
        assert camera.fps == 10 and camera.size == (64, 48) and camera.note == ""
    assert blues == list(range(12))


def test_clip_loops(tmp_path: Path) -> None:
    with Camera(write_clip(tmp_path / "a.avi", 4), loop=True) as camera:
        blues = [round(float(next(camera)[..., 0].mean()) / 8) for _ in range(6)]
    assert blues == [0, 1, 2, 3, 0, 1]


def test_truncated_clip_gives_what_can_be_read_and_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", 40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with Camera(path) as camera:
        count = len(list(camera))
        assert 5 < count < 30
        assert "ended early" in camera.note and "of 40" in camera.note


@pytest.mark.parametrize("keep", [0.0, 0.02])
def test_clip_without_frames_is_an_error(tmp_path: Path, keep: float) -> None:
    path = write_clip(tmp_path / "a.avi", 40)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CameraError):
        Camera(path)


def test_missing_file_camera_and_scheme() -> None:
    for source in ("nowhere.mp4", "nowhere.jpg", 63, "/dev/video63"):
        with pytest.raises(CameraError) as error:
            Camera(source)
        assert error.value.exit_code == 9


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="needs a user whom a device file can refuse")
def test_camera_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tody.camera import video

    node = tmp_path / "video0"
    node.touch(0o000)
    monkeypatch.setattr(video.os.path, "exists", lambda p: True)
    with pytest.raises(CameraError, match="permission"):
        video.open_device(str(node), video.Options())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), picture(5))
    with Camera(path) as camera:
        (image,) = list(camera)
        assert camera.name == str(path)
    assert np.abs(image.astype(int) - picture(5)).max() < 6


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_truncated_picture_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with Camera(path) as camera, pytest.raises(CameraError) as error:
        next(camera)
    assert error.value.exit_code == 9


def test_preview_inside_a_jpeg_does_not_pass_for_its_end() -> None:
    preview = cv2.imencode(".jpg", picture(1, 16, 16))[1].tobytes()
    whole = cv2.imencode(".jpg", picture(1))[1].tobytes()
    data = whole[:2] + b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview + whole[2:]
    assert is_complete(data)
    assert not is_complete(data[:-2])


def test_folder_and_glob_in_order_of_name(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i, 32 + i, 16))
    (tmp_path / "notes.txt").write_text("not a picture")
    with Camera(tmp_path) as folder, Camera(tmp_path / "*.png") as pattern:
        assert [f.shape[1] for f in folder] == [32, 33, 34]
        assert [f.shape[1] for f in pattern] == [32, 33, 34]


def test_empty_folder_and_glob_are_errors(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "*.png"):
        with pytest.raises(CameraError, match="no picture"):
            Camera(source)


def test_options_that_a_source_cannot_follow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Camera(write_clip(tmp_path / "a.avi", 3), width=100)
    with pytest.raises(UsageError):
        Camera("fake://bars?live=1", loop=True)
    with pytest.raises(UsageError):
        Camera(1.5)  # type: ignore[arg-type]


def feed(screen: Screen, stop: threading.Event) -> None:
    index = 0
    while not stop.wait(0.02):
        screen.show(picture(index % 20))
        index += 1


def test_http_stream_and_its_sudden_end() -> None:
    """Our own Screen is the server; its end in mid-stream is an unplugged camera."""
    stop = threading.Event()
    screen = Screen("http://127.0.0.1:0")
    feeder = threading.Thread(target=feed, args=(screen, stop))
    feeder.start()
    try:
        with Camera(screen.url + "stream", timeout_s=2 * HANG) as camera:
            assert camera.live and camera.size == (64, 48)
            for _ in range(5):
                assert next(camera).shape == (48, 64, 3)
            stop.set()
            feeder.join()
            screen.close()
            begin = time.monotonic()
            with pytest.raises(CameraError, match=r"ended|stopped answering"):
                for _ in range(1000):
                    next(camera)
            assert time.monotonic() - begin < HANG  # noticed, and not waited out
    finally:
        stop.set()
        feeder.join()


def test_rtsp_camera_and_its_unplugging() -> None:
    # Forty seconds of different pictures: however long this process must wait for its turn, later is told from earlier.
    jpegs = [cv2.imencode(".jpg", numbered(i), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes() for i in range(1000)]
    server = RtspCamera(jpegs, (64, 48))
    try:
        with Camera(server.url, timeout_s=PATIENCE) as camera:
            assert camera.live and camera.size == (64, 48) and camera.fps == 25 and "secret" not in camera.name
            numbers = [number_of(next(camera)) for _ in range(6)]
            assert all(a < b for a, b in pairwise(numbers)), f"frames come in order, none twice: {numbers}"
            server.unplug()
            with pytest.raises(CameraError) as error:
                for _ in range(1000):
                    next(camera)
            assert "secret" not in str(error.value)
    finally:
        server.unplug()


def opened(url: str, timeout_s: float) -> Camera | None:
    """A camera that gave a frame, which a busy machine may not manage in time."""
    with suppress(CameraError):
        camera = Camera(url, timeout_s=timeout_s)
        try:
            next(camera)
            return camera
        except CameraError:
            camera.close()
    return None


def test_stream_that_falls_silent_is_an_error_and_not_a_hang() -> None:
    stop = threading.Event()
    with Screen("http://127.0.0.1:0") as screen:
        feeder = threading.Thread(target=feed, args=(screen, stop))
        feeder.start()
        with wait_until(lambda: opened(screen.url + "stream", 2.0)) as camera:
            stop.set()
            feeder.join()
            begin = time.monotonic()
            with pytest.raises(CameraError):
                for _ in range(1000):
                    next(camera)
            assert time.monotonic() - begin < HANG


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_server_that_never_answers(scheme: str) -> None:
    """It accepts the connection and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(CameraError) as error:
            Camera(f"{scheme}://user:secret@127.0.0.1:{server.getsockname()[1]}/x", timeout_s=1.0)
        assert time.monotonic() - begin < HANG
    assert "secret" not in str(error.value)


def test_nobody_listens() -> None:
    with pytest.raises(CameraError):
        Camera("rtsp://127.0.0.1:9/x", timeout_s=2.0)


def test_gstreamer_is_refused_by_an_opencv_without_it() -> None:
    from tody.camera.video import has_gstreamer

    if has_gstreamer():
        with Camera("gst:videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48") as camera:
            assert next(camera).shape == (48, 64, 3)
    else:
        with pytest.raises(CameraError, match="GStreamer"):
            Camera("gst:videotestsrc")


@pytest.fixture
def no_libcamera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose PATH holds nothing but what a test puts there."""
    from tody.camera import csi

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(csi, "picamera2", lambda: None)
    return tmp_path


def test_csi_says_what_is_missing(no_libcamera: Path) -> None:
    with pytest.raises(CameraError, match="neither picamera2"):
        Camera("csi://0")


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_csi_through_rpicam_vid(no_libcamera: Path) -> None:
    jpeg = cv2.imencode(".jpg", picture(3))[1].tobytes()
    (no_libcamera / "frame").write_bytes(jpeg)
    loop = f"""data = open({str(no_libcamera / "frame")!r}, 'rb').read()
for _ in range(50):
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    time.sleep(0.01)
"""
    write_program(no_libcamera / "rpicam-vid", "import sys, time\nassert '--camera 0' in ' '.join(sys.argv)\n" + loop)
    with Camera("csi://0", timeout_s=PATIENCE) as camera:
        assert next(camera).shape == (48, 64, 3)
        with pytest.raises(CameraError, match="unplugged"):
            for _ in range(100):
                next(camera)


def test_csi_without_a_camera(no_libcamera: Path) -> None:
    write_program(no_libcamera / "rpicam-vid", "raise SystemExit(255)")
    with pytest.raises(CameraError, match="gives no frame"):
        Camera("csi://0", timeout_s=PATIENCE)


def test_csi_through_picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    from tody.camera import csi

    class Picamera2:
        """The six calls that we make, as picamera2 0.3 has them."""

        closed = False

        def __init__(self, index: int) -> None:
            self.index = index

        @staticmethod
        def global_camera_info() -> list[dict[str, str]]:
            return [{"Model": "imx708"}]

        def create_video_configuration(self, main: dict[str, object], controls: dict[str, float]) -> dict[str, object]:
            return main

        def configure(self, main: dict[str, object]) -> None:
            assert main["format"] == "RGB888"
            self.size = main["size"]

        def start(self) -> None:
            pass

        def capture_array(self, name: str) -> np.ndarray:
            time.sleep(0.01)
            return picture(1, *self.size)

        def close(self) -> None:
            Picamera2.closed = True

    monkeypatch.setattr(csi, "picamera2", lambda: type("module", (), {"Picamera2": Picamera2}))
    with Camera("csi://0", width=96, height=64) as camera:
        assert next(camera).shape == (64, 96, 3)
    assert Picamera2.closed
    with pytest.raises(CameraError, match="libcamera finds 1"):
        Camera("csi://1")
