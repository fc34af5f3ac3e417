"""Run the benchmarks, each in a process of its own: python -m benchmarks [NAME …] [--quick]"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

from .common import one_of

HERE = Path(__file__).parent
SHARED = ("common", "__main__")


def main() -> int:
    scripts = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem not in SHARED}
    questions = {name: ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for name, path in scripts.items()}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:14} {question}" for name, question in questions.items()),
    )
    about = f"of {', '.join(scripts)}; default: all"
    parser.add_argument("names", nargs="*", metavar="NAME", type=one_of("benchmark", scripts), help=about)
    parser.add_argument("--quick", action="store_true", help="prove that they work; nothing is kept, no time is judged")
    args = parser.parse_args()
    for name in args.names or scripts:
        print(f"\n{name}: {questions[name]}", flush=True)
        command = [sys.executable, str(scripts[name]), *["--quick"] * args.quick]
        if status := subprocess.run(command, check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
