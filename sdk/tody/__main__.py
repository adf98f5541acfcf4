"""The program tody, also as python -m tody."""

# SPDX-License-Identifier: Apache-2.0
import sys


def main() -> int:
    """Run the command of the command line; returns its exit code.

    Nothing else is imported yet, so that Ctrl-C ends it with a line and 130 from the first moment on.
    """
    try:
        from .cli.main import main as run

        return run()
    except KeyboardInterrupt:
        if "--json" not in sys.argv:
            print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
