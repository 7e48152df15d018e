"""The rules of CONTRIBUTING.md that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VAGUE = {
    *("utils", "util", "common", "manager", "helper", "helpers", "misc", "stuff"),
    *("live", "hot"),
}
"""Words that no part of a module's name may be."""
NAMED_BY_THE_ARTICLE = "data_manager.py"
"""The model package has this module from the article whose layout it follows."""


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that match, whether committed already or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


def product() -> list[Path]:
    """Python modules that ship."""
    return [path for path in tracked("*.py") if "src" in path.parts]


def test_there_is_a_product_to_check() -> None:
    """The rules below hold because modules were looked at, not because none was found."""
    packages = {path.parts[path.parts.index("src") + 1] for path in product()}

    assert {"failover", "nacos_client", "gateway", "classifier", "kmeans"} <= packages


def test_names_say_what_is_inside() -> None:
    """No part of a module's or a package's name is a word for nothing in particular."""
    vague = [
        path
        for path in product()
        if path.name != NAMED_BY_THE_ARTICLE
        and VAGUE & set(re.split(r"[/_.]", str(path.relative_to(ROOT))))
    ]

    assert vague == []


def public_classes() -> list[str]:
    """Names of all classes that stand in a module of the product and are not private."""
    return [
        node.name
        for path in product()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_a_class_name_means_one_class() -> None:
    """No two public classes of the workspace have one name."""
    counts = Counter(public_classes())

    assert [name for name, count in counts.items() if count > 1] == []


def test_the_glossary_explains_each_word_once() -> None:
    """The glossary is sorted, has each word once, and the classes it names exist."""
    glossary = (ROOT / "CONTRIBUTING.md").read_text().partition("## Glossary")[2]
    rows = re.findall(r"^\| ([a-z -]+) \| (.+) \|$", glossary, re.MULTILINE)[1:]
    words = [word for word, _ in rows]
    named = {name for _, text in rows for name in re.findall(r"`(\w+)`", text)}

    assert len(words) >= 30
    assert words == sorted(set(words))
    assert named
    assert named <= set(public_classes())


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_nothing_is_left_for_later(word: str) -> None:
    """The product carries no note that something is still to be done."""
    marked = [p for p in product() if re.search(rf"\b{word}\b", p.read_text())]

    assert marked == []


def test_one_place_reads_the_environment() -> None:
    """Only one module of a package, the entry points and the stack look at `os.environ`."""
    readers = [
        p.parts[p.parts.index("src") + 1]
        for p in product()
        if "os.environ" in p.read_text() and "stack" not in p.parts and p.stem != "__main__"
    ]

    assert len(readers) == len(set(readers)), readers


def test_the_lock_names_no_index() -> None:
    """requirements.lock pins every distribution by hash and leaves the index to the machine."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==", lock, flags=re.MULTILINE)

    assert "://" not in lock
    assert len(pins) > 50
    assert lock.count("--hash=sha256:") >= len(pins)


def imported(package: Path) -> set[str]:
    """Top-level names of other people's packages that a package's modules import.

    A folder with requirements.txt is run in an environment of its own, which has those.
    """
    modules = [p for p in package.rglob("*.py") if not (p.parent / "requirements.txt").exists()]
    found = set()
    for node in (node for p in modules for node in ast.walk(ast.parse(p.read_text()))):
        if isinstance(node, ast.Import):
            found |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    ours = {path.name for path in ROOT.glob("*/*/src/*")} | {"stack"}
    return found - ours - sys.stdlib_module_names


@pytest.mark.parametrize("project", tracked("libs/*/pyproject.toml", "services/*/pyproject.toml"))
def test_what_is_imported_is_declared(project: Path) -> None:
    """A member names every distribution it imports, not only one that happens to bring it along.

    Starlette counts as FastAPI's: its types are FastAPI's own interface.
    """
    declared = tomllib.loads(project.read_text())["project"]
    extras = declared.get("optional-dependencies", {}).values()
    wanted = [*declared["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[^\w-]", each)[0].lower() for each in wanted}
    carriers = packages_distributions()

    missing = {
        name
        for name in imported(project.parent / "src") - {"starlette"}
        if not names & {each.lower().replace("_", "-") for each in carriers.get(name, ())}
    }

    assert missing == set()


@pytest.mark.parametrize("project", tracked("*pyproject.toml"))
def test_every_project_names_the_licence(project: Path) -> None:
    """The code is under the licence whose text stands in the root, and its metadata say so."""
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert tomllib.loads(project.read_text())["project"]["license"] == "Apache-2.0"


def test_no_path_of_a_machine() -> None:
    """Nothing in the repository says where somebody's checkout was."""
    checkout = f"{ROOT}/".encode()
    named = [p for p in tracked(".") if checkout in p.read_bytes()]

    assert named == []


def test_the_model_services_mirror_each_other() -> None:
    """Two services mirror each other: the same room has the same file name in both."""
    rooms = {
        service: {p.name for p in (ROOT / "services" / service / "src" / service).glob("*.py")}
        for service in ("classifier", "kmeans")
    }
    shared = {"__init__.py", "__main__.py", "app.py", "schemas.py", "settings.py"}

    assert shared <= rooms["classifier"]
    assert shared <= rooms["kmeans"]


def compiled_modules() -> list[Path]:
    """The Python modules that the gateway's wheel has compiled; those of C have their own rules."""
    project = tomllib.loads((ROOT / "services/gateway/pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    sources = {"failover": ROOT / "libs/failover/src"}
    return [
        sources.get(folder, ROOT / "services/gateway/src") / folder / f"{name}.py"
        for folder, names in hook["compiled"].items()
        for name in names
        if not name.endswith(".c")
    ]


def test_constants_of_compiled_modules_are_final() -> None:
    """Compiled code finds a `Final` at once; it looks up any other global, by name, at each use."""
    variable = [
        f"{path.name}: {line}"
        for path in compiled_modules()
        for line in path.read_text().splitlines()
        if re.match(r"_?[A-Z][A-Z0-9_, ]*(:(?! Final\b)[^=]*)? = ", line)
    ]

    assert variable == []
