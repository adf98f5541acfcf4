"""How fast models are beside other runtimes, in turns: speed.py MODEL.onnx.. [--against A,B] [--threads 1,2] [--json FILE]

tody runs MODEL.tody beside each MODEL.onnx, or converts it. The others read MODEL.onnx, or what lies beside it with their own
suffix (MODEL.tflite, MODEL.mnn, ..). Every runtime has a fresh process for each model and number of threads, and all take turns
in short bursts. `--json` adds a line per measurement to a file, of which tables.py makes tables.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tables import FASTER, Key, Row, ratio, summary

from tody.errors import TodyError
from tody.run.bench import Bench, bench
from tody.run.model import load
from tody.run.peers import installed


def our_file(source: Path, folder: Path) -> Path:
    """The converted model: the one beside its source, or a new one in `folder`."""
    beside = source.with_suffix(".tody")
    if beside.is_file():
        return beside
    from tody.convert.convert import convert

    target = folder / beside.name
    convert(source, target)
    return target


def rows_of(result: Bench, source: Path, precision: str) -> list[Row]:
    return [
        Row(
            model=source.stem,
            prec=precision,
            threads=result.threads,
            runtime=r.runtime,
            version=r.version,
            min_ms=r.min_ms,
            med_ms=r.median_ms,
            load_ms=r.load_ms,
            first_ms=r.first_ms,
            peak_mib=r.peak_mib,
            error=r.error,
        )
        for r in result.rows
    ]


def line(rows: list[Row]) -> str:
    """One measurement in words: who was faster, unless they tie."""
    times = "  ".join(f"{r.runtime} {r.min_ms:.3f}/{r.med_ms:.3f}" for r in rows if r.min_ms and r.med_ms)
    found = ratio(rows)
    verdict = "" if found is None else f"  {found.value:.2f} x {found.peer}: {FASTER[found.verdict]}"
    errors = "".join(f"\n  {r.runtime}: {r.error}" for r in rows if r.error)
    return f"{rows[0].model} {rows[0].prec} {rows[0].threads}T, min/median ms: {times}{verdict}{errors}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--against", default="all", help="runtimes: all that are installed, or names with commas between")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas between (default 1,2)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each runtime for each figure (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to this file, a line each")
    args = parser.parse_args()
    against = installed() if args.against == "all" else args.against.split(",")
    measured: dict[Key, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in args.models:
            ours = our_file(source, Path(folder))
            precision = {"float32": "fp32"}.get(load(ours, 1).precision, "int8")
            for threads in map(int, args.threads.split(",")):
                rows = rows_of(bench(ours, threads, args.seconds, against, source), source, precision)
                measured[source.stem, precision, threads] = rows
                print(line(rows), flush=True)
                if args.json:
                    with open(args.json, "a") as out:
                        out.writelines(json.dumps(vars(r)) + "\n" for r in rows)
    print("\n".join(summary(measured)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TodyError as e:
        sys.exit(str(e))
