"""The floors of docs/design.md: an arrow may only point down, in C includes, in Python imports and in linked symbols."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUNTIME, SDK = ROOT / "runtime", ROOT / "sdk" / "tody"
FLEET = SDK / "fleet"

# C: floor of each folder of runtime/. Contracts stand lower than the folder they are kept in.
C_FLOORS = {"kernels": 0, "vision": 0, "include": 0, "ops": 1, "core": 2}
C_CONTRACTS = {"core/kernels.h": 0, "core/kernels_int.h": 0, "core/format.h": 0, "core/op.h": 1, "core/blocks.h": 0}
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "string.h"}
INTRINSICS = {"immintrin.h", "arm_neon.h", "arm_acle.h", "arm_mve.h"}
# The folders that may include them.
VECTORS = ("kernels/x86/", "kernels/neon/", "kernels/cortexm/", "kernels/helium/")

# Python: floor of each part of the package. `__init__` only lists names; `__main__` starts the command line.
PY_FLOORS = {
    "errors": 3, "container": 3,
    "format": 3, "coding": 3, "budget": 3, "bundle": 3, "golden": 3, "memory": 3, "packages": 3, "_runtime": 3, "_vision": 3,
    "convert": 4, "compress": 4, "run": 4, "camera": 4,
    "flash": 5, "fleet": 5, "models": 5,
    "cli": 6,
}  # fmt: skip
PY_FORBIDDEN = {
    "run": {"convert", "compress", "camera"},
    "camera": {"convert", "compress"},
    "convert": {"camera"},
    "flash": {"fleet"},
    "fleet": {"flash", "compress", "convert"},
}
# Of the fleet: what laptop and broker have and a device has not; everything else may run there.
NOT_ON_A_DEVICE = {"laptop", "broker", "view"}


def c_files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (RUNTIME / folder).rglob("*.[ch]"))


def c_floor(name: str) -> int:
    return C_CONTRACTS.get(name, C_FLOORS[name.split("/")[0]])


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*([<"][^>"]+)[>"]', path.read_text(), re.M)


def resolve(path: Path, name: str) -> str:
    """The included file, relative to runtime/."""
    for folder in (path.parent, RUNTIME, RUNTIME / "core", RUNTIME / "include"):
        if (folder / name).is_file():
            return (folder / name).resolve().relative_to(RUNTIME).as_posix()
    raise AssertionError(f"{path.relative_to(ROOT)} includes {name}, which is not part of the runtime")


@pytest.mark.parametrize("path", c_files(*C_FLOORS), ids=lambda p: p.relative_to(RUNTIME).as_posix())
def test_c_includes_point_down(path: Path) -> None:
    me = path.relative_to(RUNTIME).as_posix()
    allowed = FREESTANDING | (INTRINSICS if me.startswith(VECTORS) else set())
    for include in includes(path):
        if include[0] == "<":
            assert include[1:] in allowed, f"{me} includes {include}>, which needs a host"
        else:
            target = resolve(path, include[1:])
            assert c_floor(target) <= c_floor(me), f"{me} (floor {c_floor(me)}) includes {target} (floor {c_floor(target)})"


@pytest.mark.parametrize("path", c_files("kernels"), ids=lambda p: p.relative_to(RUNTIME).as_posix())
def test_kernels_have_never_heard_of_a_model(path: Path) -> None:
    kernels = {p.relative_to(RUNTIME).as_posix() for p in c_files("kernels")}
    outside = {resolve(path, i[1:]) for i in includes(path) if i[0] == '"'} - kernels
    assert outside <= {"core/kernels.h", "core/format.h"}, f"{path.name} includes {outside}"


def test_conditionals_stand_outside_functions() -> None:
    """`#if` inside a function: found by a brace that is open."""
    for path in c_files(*C_FLOORS):
        depth = 0
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r'\s*extern "C" \{', line):
                continue
            assert not (depth > 0 and re.match(r"\s*#\s*(if|ifdef|ifndef)\b", line)), f"{path.relative_to(ROOT)}:{number}"
            code = re.sub(r'//.*|"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", line)
            depth = max(0, depth + code.count("{") - code.count("}"))


def python_files() -> list[Path]:
    return sorted(p for p in SDK.rglob("*.py") if p.relative_to(SDK).as_posix() not in ("__init__.py", "__main__.py"))


def nodes(node: ast.AST, hints: bool) -> Iterator[ast.AST]:
    """A tree's nodes; without `hints`, not those below `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if hints or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from nodes(child, hints)


def package_imports(path: Path, hints: bool = True) -> Iterator[str]:
    """Dotted names below `tody` that a file imports anywhere, such as `run.model`; without `hints`, only when it runs."""
    inside = ["tody", *path.relative_to(SDK).parts[:-1]]
    for node in nodes(ast.parse(path.read_text()), hints):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{prefix}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("tody.") for name in names if name.startswith("tody.") or name == "tody")


@pytest.mark.parametrize("path", python_files(), ids=lambda p: p.relative_to(SDK).as_posix())
def test_python_imports_point_down(path: Path) -> None:
    me = path.relative_to(SDK).parts[0].removesuffix(".py")
    assert me in PY_FLOORS, f"{me} has no floor: add it to docs/design.md and to this test"
    for name in package_imports(path):
        part = name.split(".")[0]
        if part == "tody" or part not in PY_FLOORS:  # a name of the package itself, such as tody.load
            assert me == "cli", f"{path.relative_to(SDK)} imports {name} from the top of the package"
            continue
        assert PY_FLOORS[part] <= PY_FLOORS[me], f"{path.relative_to(SDK)} imports {name} from a floor above"
        assert part not in PY_FORBIDDEN.get(me, set()), f"{path.relative_to(SDK)} imports {name}"


def device_files() -> list[Path]:
    return [p for p in python_files() if p.is_relative_to(FLEET) and p.relative_to(FLEET).parts[0] not in NOT_ON_A_DEVICE]


@pytest.mark.parametrize("path", device_files(), ids=lambda p: p.relative_to(FLEET).as_posix())
def test_a_device_needs_nothing_of_the_laptop(path: Path) -> None:
    """Not even inside a function; what type hints need does not count."""
    for name in package_imports(path, hints=False):
        assert not name.startswith(tuple(f"fleet.{folder}" for folder in NOT_ON_A_DEVICE)), f"it imports {name}"


def eager_imports(tree: ast.Module) -> Iterator[str]:
    """First parts of what is imported when a module is, so not inside functions or `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]
        waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", sorted(SDK.rglob("*.py")), ids=lambda p: p.relative_to(SDK).as_posix())
def test_numpy_is_the_only_dependency(path: Path) -> None:
    training = path.is_relative_to(SDK / "compress" / "train")  # nothing outside of it imports it before it is asked for
    allowed = {*sys.stdlib_module_names, "numpy", "tody", *(("torch",) if training else ())}
    assert set(eager_imports(ast.parse(path.read_text()))) <= allowed, "import it inside the function that needs it"


def test_lazy_imports_of_the_package() -> None:
    """`import tody` loads nothing but itself; running a model loads no converter, and neither loads an optional package."""
    code = "import sys, tody, tody.run.model as m; print(' '.join(k for k in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [m for m in loaded if m.startswith(("tody.convert", "tody.camera", "tody.cli"))]
    assert not {"onnx", "cv2", "onnxruntime", "serial", "paho", "torch"} & set(loaded)


# What the freestanding part of the runtime may ask of whoever links it: string.h.
LINKED = {"memcpy", "memset", "memmove", "memcmp", "strcmp", "strlen", "strncmp", "memchr", "strchr"}
COMPILER = re.compile(r"^(__aeabi_|__mul|__udiv|__div|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|_DYNAMIC)")


def symbols(archive: Path) -> list[tuple[str, str]]:
    lines = subprocess.run(["nm", archive], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split()[-2:] for line in lines if len(line.split()) >= 2]
    return [(kind, name) for kind, name in found if len(kind) == 1]


@pytest.mark.skipif(not shutil.which("nm"), reason="nm is not installed")
def test_runtime_links_without_an_operating_system(libtody: Path) -> None:
    table = symbols(libtody)
    defined = {name for kind, name in table if kind not in "Uu"}
    wanted = {name for kind, name in table if kind == "U"} - defined - LINKED
    assert not {name for name in wanted if not COMPILER.match(name)}


@pytest.mark.skipif(not shutil.which("nm"), reason="nm is not installed")
def test_runtime_keeps_no_state(libtody: Path) -> None:
    """Nothing writable: no .data (but what relocation alone writes), no .bss, no common symbols."""
    out = subprocess.run(["objdump", "-t", libtody], capture_output=True, text=True, check=True).stdout
    written = [line for line in out.splitlines() if re.search(r"\sO (\.data|\.bss|\*COM\*)", line)]
    assert not [line.split()[-1] for line in written if ".data.rel.ro" not in line]


@pytest.mark.parametrize("compiler", ["gcc -x c -std=c11", "g++ -x c++ -std=c++11"], ids=["C", "C++"])
@pytest.mark.parametrize("header", ["runtime/include/tody.h", "runtime/vision/vision.h", "ports/posix/posix.h"])
def test_public_header_stands_alone(header: str, compiler: str) -> None:
    if not shutil.which(compiler.split()[0]):
        pytest.skip(f"{compiler.split()[0]} is not installed")
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{RUNTIME / 'include'}"]
    command = [*compiler.split(), *flags, "-include", str(ROOT / header), "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
