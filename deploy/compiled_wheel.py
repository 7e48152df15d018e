# ruff: noqa: INP001 - hatchling loads the file by its path
"""A build hook: compiles the modules that every request runs through, with mypyc or from C.

A project names the modules in its pyproject.toml, by folder:

    [tool.hatch.build.targets.wheel.hooks.custom]
    path = "../../deploy/compiled_wheel.py"
    beside = ["../../libs/failover/src"]

    [tool.hatch.build.targets.wheel.hooks.custom.compiled]
    "gateway/upstream" = ["connection", "pool"]
    failover = ["balancer"]
    "gateway/http" = ["heads", "scan.c"]

A module whose name ends in `.c` is compiled from the C source of that name; the Python source
beside it is its pure form, and the two must do the same for their callers.

The sources of modules of another member are in the folders `beside`: they are compiled together, so
that calls between them are direct, and this wheel has their extension modules, while the sources
are in the other member's wheel, which is always pure. This one requires exactly its version.

The wheel has every source, and beside each named module an extension module, which Python prefers.
It is for one platform and one version of Python. The pure wheel (py3-none-any) has the sources
alone; it is built where there is no C compiler, and where GATEWAY_COMPILED=0 is in the environment.
With GATEWAY_COMPILED=1 a missing compiler is an error. An editable installation is never compiled.
A wheel is built from the checkout: a source distribution would not have this file.

The types of other members of the workspace come from their sources, and those of other people's
packages are not read: that makes the same wheel in an isolated environment as in the workspace, and
makes it sooner.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENT = "mypy[mypyc]>=1.16"
OPTIONS = (
    "--config-file=",
    "--no-site-packages",
    "--ignore-missing-imports",
    "--follow-imports=silent",
)


class CompiledWheel(BuildHookInterface[Any]):
    """The hook that hatchling calls before and after it writes a wheel."""

    def dependencies(self) -> list[str]:
        """Return what an isolated build has to install: mypyc, where it is used."""
        return [] if obstacle() else [REQUIREMENT]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the extension modules put into the wheel."""
        if version == "editable":
            return
        reason = obstacle() or missing_mypyc()
        name = self.metadata.name
        if reason and os.environ.get("GATEWAY_COMPILED") == "1":
            self.app.abort(f"{name} cannot be compiled: {reason}")
        elif reason:
            self.app.display_warning(f"{name}: a pure wheel, because {reason}")
        else:
            self.app.display_info(f"{name}: compiling its wheel with mypyc")
            try:
                folders = [Path(self.root, one) for one in ("src", *self.config.get("beside", ()))]
                modules = compiled(folders, self.config["compiled"], self._work())
            except subprocess.CalledProcessError:
                self.app.abort(f"{name} cannot be compiled: mypyc failed, for the reason above")
            else:
                build_data["force_include"].update(modules)
                build_data.update(pure_python=False, infer_tag=True)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the folder in which the modules were compiled."""
        if self._folder is not None:
            self._folder.cleanup()

    _folder: TemporaryDirectory[str] | None = None

    def _work(self) -> Path:
        self._folder = TemporaryDirectory(prefix="compiled-wheel-")
        return Path(self._folder.name)


def obstacle() -> str | None:
    """Return the reason why this machine builds a pure wheel, or None if it can compile."""
    wanted = os.environ.get("GATEWAY_COMPILED", "")
    if wanted not in {"", "0", "1"}:
        raise ValueError(f"GATEWAY_COMPILED is {wanted!r}: set it to 0, to 1, or not at all")
    if wanted == "0":
        return "GATEWAY_COMPILED=0"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler {compiler} (Debian: gcc, libc6-dev)"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are missing (Debian: python3-dev)"
    return None


def missing_mypyc() -> str | None:
    """Return the reason if the environment of the build has no mypyc, which isolated ones have."""
    found = all(importlib.util.find_spec(name) for name in ("mypyc", "setuptools"))
    return None if found else f"the environment of the build lacks {REQUIREMENT}"


def compiled(folders: list[Path], modules: dict[str, list[str]], work: Path) -> dict[str, str]:
    """Compile in the folder `work`; return each extension module's file and its place in the wheel.

    Args:
        folders: those of the packages' sources, the wheel's own first; they stay as they are.
        modules: the names of modules by their folder in these.
        work: an empty folder.

    Raises:
        subprocess.CalledProcessError: mypyc or the C compiler failed; it has said why.
    """
    for folder in folders:
        shutil.copytree(
            folder, work, ignore=shutil.ignore_patterns("__pycache__", "*.so"), dirs_exist_ok=True
        )
    own = next(one.name for one in sorted(folders[0].iterdir()) if one.is_dir())
    sources = [
        f"{folder}/{name if name.endswith('.c') else name + '.py'}"
        for folder, names in modules.items()
        for name in names
    ]
    others = set(ROOT.glob("libs/*/src")) - {folder.resolve() for folder in folders}
    types = os.pathsep.join(map(str, sorted(others)))
    subprocess.run(
        [sys.executable, __file__, own, *sources],
        cwd=work,
        env={**os.environ, "MYPYPATH": types},
        check=True,
        stdout=sys.stderr,
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return {str(file): str(file.relative_to(work)) for file in sorted(work.rglob(f"*{suffix}"))}


def compile_in_place(package: str, sources: list[str]) -> None:
    """Put the extension modules of the sources beside them, in the current folder's packages.

    The library that has all their code gets the name of the wheel's own package.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - a pure build has no mypyc
    from setuptools import Extension, setup  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    class FilesAtATime(build_ext):
        """The command that compiles; it gives each core a file, where setuptools' has one."""

        def build_extension(self, ext: Extension) -> None:
            def compiled(source: str) -> list[str]:
                objects: list[str] = self.compiler.compile(
                    [source],
                    output_dir=self.build_temp,
                    include_dirs=ext.include_dirs,
                    # Hidden names are called directly from file to file, not by way of a table.
                    extra_postargs=[*ext.extra_compile_args, "-fvisibility=hidden"],
                )
                return objects

            with ThreadPoolExecutor(os.cpu_count()) as cores:
                ext.extra_objects += chain.from_iterable(cores.map(compiled, ext.sources))
            ext.sources = []
            super().build_extension(ext)

    typed = [source for source in sources if source.endswith(".py")]
    extensions = mypycify(
        [*OPTIONS, *typed], opt_level="3", debug_level="0", group_name=package, multi_file=True
    )
    extensions += [
        Extension(
            source.removesuffix(".c").replace("/", "."),
            [source],
            extra_compile_args=["-O3", "-g0"],  # like mypyc's: the folder's name is in no wheel
        )
        for source in sources
        if source.endswith(".c")
    ]
    arguments = ["--quiet", "build_ext", "--inplace"]
    command = {"build_ext": FilesAtATime}
    setup(name=package, ext_modules=extensions, script_args=arguments, cmdclass=command)
    shutil.rmtree("build")


if __name__ == "__main__":
    compile_in_place(sys.argv[1], sys.argv[2:])
