"""The entry of the command line, `cnn-zoo` and `python -m cnn_zoo`: Ctrl-C is one line from the first moment on."""

import sys


def main() -> int:
    """Run a command; returns the exit status."""
    try:
        from .cli import main

        return main()
    except KeyboardInterrupt:  # while modules load
        print("cnn-zoo: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
