"""The binding: one class around `tody_model`, one around a tensor, and the small C of `runtime/vision`."""

# SPDX-License-Identifier: Apache-2.0
from typing_extensions import Buffer

__version__: str

class Tensor:
    """A view of a tensor's memory (buffer protocol, C order). It keeps its Runtime alive.

    `numpy.asarray(tensor)` makes an array without a copy (float16 included).
    """

    shape: tuple[int, ...]
    dtype: str
    quant: tuple[float, int] | None  # scale and zero point of int8 that stands for real numbers
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Runtime:
    """An opened and bound model with its own arena.

    Args:
        file: the bytes of a `.tody` file (bytes, mmap, ..); kept alive, must not change.
        threads: at least 1; above 1 a pool of threads - 1 workers is made, shared by clones.
        kernels: name of the best kernel set to use; None: the best this CPU has.
        verify: also compare the checksums of weights and metadata.
        prepare: keep weights in memory a second time, in the form that is fastest, where the file says that this pays.
        f16: with `prepare`, make products of float32 in float16 arithmetic if the kernel set has it; else nothing changes.

    Raises:
        ModelError: the file is not sound; the message says which record.
        UsageError: no such kernel set here, or a number of threads outside 1 to 256.
        MemoryError: no memory for the arena.
    """

    kernels: str
    threads: int
    f16: bool  # whether products of float32 are made in float16 arithmetic
    arena_bytes: int
    scratch_bytes: int
    prepared_bytes: int  # shared with clones
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    op_names: tuple[str, ...]
    def __init__(
        self,
        file: Buffer,
        threads: int = 1,
        kernels: str | None = None,
        verify: bool = False,
        prepare: bool = True,
        f16: bool = False,
    ) -> None: ...
    def run(self) -> None:
        """Run on what the inputs hold. Raises UsageError while another thread runs this object."""

    def profile(self) -> list[int]:
        """Run once; nanoseconds of each operator."""

    def peak(self, dtype: str) -> float:
        """Multiply-adds per second that its kernels reach at most, on all its threads: full tiles from the first-level cache.

        Measured anew by each call, in a few hundredths of a second.

        Args:
            dtype: "int8", or "float16" (arithmetic, where the kernels have it); anything else is float32.
        """

    def step(self, index: int) -> None:
        """Run operator `index` alone; those before it must have run."""

    def op_output(self, index: int) -> Tensor:
        """First output of operator `index`. Its content is that operator's only right after step(index)."""

    def clone(self) -> Runtime:
        """A model with its own activations that shares file, kernels and threads."""

def need(file: Buffer, pointer_bytes: int) -> tuple[int, int]:
    """Bytes of arena and of scratch on a machine with pointers of 4 or 8 bytes, one thread and the portable kernels.

    Raises:
        ModelError: the file is not sound.
        UsageError: another number of bytes.
    """

def kernel_sets() -> list[str]:
    """Kernel sets that this build has and this CPU can run, best last."""

def cpu_features() -> list[str]:
    """What this CPU has of what the kernel sets know."""

def unpack(file: Buffer) -> memoryview:
    """The plain file of a coded one (docs/format.md), read-only, in memory of its own that is aligned to 64 bytes.

    Raises:
        ModelError: the file is damaged, or not a .tody file.
        MemoryError: no memory for the plain file.
    """

def rans_encode(symbols: bytes, states: bytes, frequencies: bytes) -> bytes:
    """Code symbols as a block of a coded file has them: four states (u32), then words (u16).

    Args:
        symbols: uint8 [n].
        states: uint8 [n], below 4: which state, and which table, has each symbol.
        frequencies: uint16 [4, 256]: each table adds up to 4096.

    Raises:
        ValueError: a symbol has the frequency 0, or lengths do not fit.
    """
