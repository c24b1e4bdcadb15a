#!/usr/bin/env python3
"""Checks on the shape of the code that no linter has. Prints what is wrong, one line each.

shape.py sizes DIR...          no Python file above 400 lines, no function above 60
shape.py ascii PATH...         Python, YAML, TOML, JSON and shell are ASCII
shape.py mirror SOURCES TESTS  every module has its test file, every test file its module
                               (test_untar.py may have test_untar_archives.py beside it)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE = 400
MAX_FUNCTION = 60
ASCII_SUFFIXES = {".py", ".yml", ".yaml", ".toml", ".json", ".sh", ".cfg", ".j2"}
GENERATED = {"__pycache__", "collections", "output", "build"}


def files(paths: list[str], suffixes: set[str]) -> Iterator[Path]:
    for name in paths:
        root = Path(name)
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        for path in found:
            generated = GENERATED.intersection(path.parts) or any(
                part.startswith(".") for part in path.parts
            )
            if path.is_file() and path.suffix in suffixes and not generated:
                yield path


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def sizes(paths: list[str]) -> Iterator[str]:
    for path in files(paths, {".py"}):
        text = path.read_text(encoding="utf-8")
        count = len(text.splitlines())
        if count > MAX_FILE:
            yield f"{path}: {count} lines, at most {MAX_FILE}"
        for function in functions(ast.parse(text, str(path))):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > MAX_FUNCTION:
                yield (
                    f"{path}:{function.lineno}: {function.name} has {length} lines,"
                    f" at most {MAX_FUNCTION}"
                )


def ascii_only(paths: list[str]) -> Iterator[str]:
    for path in files(paths, ASCII_SUFFIXES):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.isascii():
                yield f"{path}:{number}: not ASCII (write it as an escape where a test needs it)"


def has_code(path: Path) -> bool:
    """A package's __init__.py with nothing but a docstring needs no test."""
    body = ast.parse(path.read_text(encoding="utf-8"), str(path)).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


def test_name(module: Path) -> Path:
    """model/digest.py -> model/test_digest.py; __main__.py -> test_main.py."""
    return module.with_name(f"test_{module.stem.strip('_')}.py")


def mirror(paths: list[str]) -> Iterator[str]:
    sources, tests = map(Path, paths)
    modules = [path.relative_to(sources) for path in files([str(sources)], {".py"})]
    wanted = {test_name(module): module for module in modules}
    present = {path.relative_to(tests) for path in tests.rglob("test_*.py")}
    for test, module in sorted(wanted.items()):
        needed = module.name != "__init__.py" or has_code(sources / module)
        if needed and test not in present:
            yield f"{sources / module}: no {tests / test}"
    for test in sorted(present - wanted.keys()):
        if any(
            test.name.startswith(f"{other.stem}_")
            for other in wanted
            if other.parent == test.parent
        ):
            continue
        yield f"{tests / test}: no module under {sources} with this name"


CHECKS = {"sizes": sizes, "ascii": ascii_only, "mirror": mirror}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in CHECKS:
        sys.exit(__doc__)
    problems = list(CHECKS[sys.argv[1]](sys.argv[2:]))
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"shape: {sys.argv[1]}: {len(problems)} problems")
    sys.exit(bool(problems))
