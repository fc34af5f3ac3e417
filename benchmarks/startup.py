"""How long does it take to start: the interpreter, the command line, the first model?

python benchmarks/startup.py [--quick]
"""

import argparse
import subprocess
import sys

from common import alternate, spread, write

COMMANDS = {
    "python": ["-c", "pass"],
    "import cnn_zoo": ["-c", "import cnn_zoo"],
    "cnn-zoo list": ["-m", "cnn_zoo", "list"],
    "cnn-zoo --help": ["-m", "cnn_zoo", "--help"],
    "unknown model": ["-m", "cnn_zoo", "train", "resnt18"],
    "import keras": ["-c", "import keras"],
    "build_model": ["-c", "import cnn_zoo; cnn_zoo.build_model('lenet5')"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="once; nothing is kept")
    quick = parser.parse_args().quick

    def run(arguments):
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)

    works = {name: lambda arguments=arguments: run(arguments) for name, arguments in COMMANDS.items()}
    times = alternate(works, 1 if quick else 7)
    write("startup", {"seconds": {name: spread(seconds, 3) for name, seconds in times.items()}}, quick)


if __name__ == "__main__":
    main()
