"""Write into dvc.yaml which code each stage needs, read from the imports.

Run: make deps. With --check nothing is written, and the status is 1 if something would be.
"""

import re
import sys
import textwrap
from pathlib import Path

import yaml

from flows.engine.imports import find_code
from vision.base.files import write_text
from vision.base.params import list_stages

DVC_FILE = Path("dvc.yaml")
HEAD = re.compile(r"(# Stages, as `make deps` lists them:\n).*?(# end of stages\n)", re.DOTALL)
STAGE = re.compile(r"^  ([a-z-]+):\n(?:    .*\n|\n)+", re.MULTILINE)
CODE = re.compile(r"\n( +)# code\n.*?( +\]\n)", re.DOTALL)
WIDTH = 100


def main(arguments: list[str]) -> int:
    text = DVC_FILE.read_text(encoding="utf-8")
    if (new := write_deps(text)) == text:
        print(f"{DVC_FILE} is as the imports have it")
    elif "--check" in arguments:
        print(f"{DVC_FILE} is not as the imports have it: make deps", file=sys.stderr)
        return 1
    else:
        write_text(DVC_FILE, new)
        print(f"{DVC_FILE} is written anew")
    return 0


def write_deps(text: str, root: Path = Path()) -> str:
    """Return a dvc.yaml with the list of its stages and the code that each needs.

    Args:
        text: dvc.yaml; behind `# code`, up to the end of the list, stands what is written anew.
        root: the project, whose files the imports name.
    """
    stages = list_stages(yaml.safe_load(text))
    rows = "".join(f"#   {name:<18}{stage['desc']}\n" for name, stage in stages.items())
    text = HEAD.sub(lambda match: match[1] + rows + match[2], text)

    def rewrite(match: re.Match[str]) -> str:
        files = ", ".join(sorted(find_code(stages[match[1]]["cmd"], root)))

        def replace(code: re.Match[str]) -> str:
            lines = textwrap.fill(files, WIDTH - len(code[1]), break_on_hyphens=False)
            return f"\n{code[1]}# code\n{textwrap.indent(lines, code[1])}\n{code[2]}"

        return CODE.sub(replace, match[0])

    return STAGE.sub(rewrite, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
