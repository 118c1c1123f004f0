"""All directly imported packages are declared, so that they are installed even if no other package needs them."""

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
OWN = {path.stem for path in PROJECT.glob("*.py")} | {path.name for path in PROJECT.iterdir() if path.is_dir()}
OF_PRODUCTION = ("requirements.in",)
OF_DEVELOPMENT = (*OF_PRODUCTION, "requirements-dev.in", "benchmarks/requirements.txt")


def imported_modules(source: str) -> set[str]:
    """Return the name of each module that this source imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
    return modules


def normalized(distribution: str) -> str:
    """Return the normalized name of a distribution."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported_distributions(paths: Iterable[str]) -> set[str]:
    """Return the distributions that the files and directories import; a module that is not installed counts as one."""
    roots = [PROJECT / path for path in paths]
    files = [file for root in roots for file in (root, *root.rglob("*.py")) if file.is_file()]
    modules = {module for file in files for module in imported_modules(file.read_text(encoding="utf-8"))}
    providers = packages_distributions()
    foreign = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names | OWN}
    return {normalized(each) for name in foreign for each in providers_of(name, providers)}


def providers_of(module: str, providers: Mapping[str, list[str]]) -> Iterable[str]:
    """Return the distributions that have a module. If several share a namespace, only one of them has the module."""
    first = module.partition(".")[0]
    sharing = set(providers.get(first, [first]))
    if len(sharing) == 1:
        return sharing
    spec = find_spec(module)
    file = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if file is None:
        return sharing
    return {each for each in sharing if file in {Path(str(part.locate())) for part in distribution(each).files or ()}}


def declared_distributions(paths: Iterable[str]) -> set[str]:
    """Return the distributions that these requirements name."""
    lines = [line for path in paths for line in (PROJECT / path).read_text(encoding="utf-8").splitlines()]
    names = [re.match(r"[A-Za-z0-9][\w.-]*", line) for line in lines]
    return {normalized(name.group()) for name in names if name}


def test_production_imports_are_declared() -> None:
    imported = imported_distributions(("api", "core", "worker", "migrations", "celeryconfig.py"))

    assert imported - declared_distributions(OF_PRODUCTION) == set()


def test_imports_of_tests_and_benchmarks_are_declared() -> None:
    imported = imported_distributions(("tests", "benchmarks"))

    assert imported - declared_distributions(OF_DEVELOPMENT) == set()
