"""Every command and every piece of Python in the pages of docs/ that promise it, executed in order; the links of all pages."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from patience import PATIENCE, wait_until
from sharing import free_port, listens
from tody.fleet.broker.running import program

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
NEEDS = {
    "start": ["cv2", "onnx"],
    "compress": ["cv2", "onnx"],
    "flash": ["onnx", "serial"],
    "push": ["cv2", "onnx", "paho.mqtt", "tuf", "cryptography"],
}
PORT = free_port()  # and the next two
NO_NETWORK = 6  # what `tody models get` ends with when pip or npm bring nothing


class Block(NamedTuple):
    """A fenced block: its language, the words behind it, its text."""

    language: str
    words: str
    text: str


def blocks(path: Path) -> list[Block]:
    return [Block(*match) for match in re.findall(r"^```(\w+) ?(.*?)\n(.*?)^```", path.read_text(), re.M | re.S)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each page a folder that looks like the repository to the commands, with the program tody on its PATH."""
    found = {}
    for page in STEPS:
        folder = found[page] = tmp_path_factory.mktemp(page)
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "bin").mkdir()
        program = folder / "bin" / "tody"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tody "$@"\n')
        program.chmod(0o755)
    return found


@pytest.fixture(scope="module")
def beside() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that run until the last block has: those of blocks marked so."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in reversed(running):
        process.terminate()
        process.wait(PATIENCE)


def order(block: Block, folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command of a block, and its environment: a home of its own, free ports, and the passphrase of docs/push.md."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    text = block.text.replace("127.0.0.1:8080", "127.0.0.1:0")
    text = text.replace("--host localhost", f"--host localhost --port {PORT} --local-port {PORT + 2}")
    env = {**os.environ, "PATH": path, "TODY_CACHE": str(folder / "cache"), "HOME": str(folder)}
    env |= {"TODY_PASSPHRASE": "three words of yours"}
    env.pop("XDG_CONFIG_HOME", None)
    return (["sh", "-e", "-c", text] if block.language == "sh" else [sys.executable, "-c", text]), env


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    command, env = order(block, folder)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE)


def start(block: Block, folder: Path) -> subprocess.Popen[bytes]:
    """The program of a block, once it has said something, and the terminals or the port that it makes are there."""
    command, env = order(Block("sh", "", f"exec {block.text}"), folder)
    log = folder / "beside.log"
    before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=folder, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=out, stderr=out)
    terminals = [folder / name for name in re.findall(r"\S+\.tty", block.text)]

    def is_ready() -> bool:
        up = log.stat().st_size > before and all(terminal.exists() for terminal in terminals)
        return up and ("broker run" not in block.text or listens(PORT))

    wait_until(lambda: process.poll() is not None or is_ready())
    assert process.poll() is None, log.read_text()
    return process


STEPS = {page: [b for b in blocks(ROOT / "docs" / f"{page}.md") if b.language in ("sh", "python")] for page in NEEDS}


@pytest.mark.parametrize(("page", "number"), [(page, number) for page, steps in STEPS.items() for number in range(len(steps))])
def test_page(page: str, number: int, folders: dict[str, Path], beside: list[subprocess.Popen[bytes]]) -> None:
    for module in NEEDS[page]:
        pytest.importorskip(module)
    if page == "push" and not program():
        pytest.skip("mosquitto is not installed")
    block = STEPS[page][number]
    if block.words == "beside":
        beside.append(start(block, folders[page]))
        return
    done = run(block, folders[page])
    if block.words == "network" and done.returncode == NO_NETWORK:
        pytest.skip(f"no registry can be reached: {done.stderr}")
    expected = int(block.words.removeprefix("fails=")) if block.words.startswith("fails=") else 0
    assert done.returncode == expected, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_train(folders: dict[str, Path]) -> None:
    """The Python of docs/train.md as one program: each block goes on with what the one before made."""
    pytest.importorskip("torch", reason="the extra [train] is not installed: pip install torch")
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("the data set is not there: apt-get install dataset-fashion-mnist")
    steps = [b.text for b in blocks(ROOT / "docs" / "train.md") if b.language == "python"]
    script = "import torch\ntorch.set_num_threads(1)\n" + "\n".join(steps)
    done = run(Block("python", "", script), folders["start"])
    assert done.returncode == 0 and len(steps) == 3, done.stderr
    assert "of macs" in done.stdout and "top-1" in done.stdout


def test_pages_have_what_they_should() -> None:
    for steps in STEPS.values():
        assert len(steps) >= 7 and "sh" in {b.language for b in steps}


def test_python_of_the_readme_runs(folders: dict[str, Path], door: Path) -> None:
    """The ten lines, with a camera and a port that are there."""
    pytest.importorskip("cv2")
    (script,) = (b.text for b in blocks(ROOT / "README.md") if b.language == "python")
    for there, here in (
        ('"person.tody"', f'"{door}"'),
        ("Camera(0)", 'Camera("fake://door?frames=20")'),
        (":8080", "127.0.0.1:0"),
    ):
        assert there in script
        script = script.replace(there, here)
    done = run(Block("python", "", script), folders["start"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 person") == 20


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_of_the_readme_exists() -> None:
    from tody.cli.main import COMMANDS

    known = {c.NAME for c in COMMANDS}
    for page in PAGES:
        for verb in re.findall(r"`tody ([a-z]+)", page.read_text()):
            assert verb in known, f"{page.name}: tody {verb}"
