# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What pages take for granted: built plugins, a registry's content, wheels; and the count of what ran."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
import yaml
from fleet.supplies import download_wheels

import docs.pages as pages
import plugind
from support import daemon, docker_registry, image, tls

ROOT = daemon.REPOSITORY
SETUP = Path(__file__).parent / "setup"
ROLE = ROOT / "roles" / "agent"
#: Built plugins in the registry of the pages: reference -> example, config file.
PUBLISHED = {
    "plugins/localdir:1": ("localdir", "config.json"),
    "plugins/localdir:2": ("localdir", "config-privileges.json"),
    "plugins/sshfs:1": ("sshfs", "config.json"),
}
SECRET = "correct horse"


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built plugins, in directories of their names."""
    directory = tmp_path_factory.mktemp("plugins")
    for name in ("localdir", "sshfs", "localbridge", "localpool", "linelog"):
        daemon.build_plugin(name, directory / name)
    daemon.build_plugin("localdir", directory / "localdir-2", "--config", "config-privileges.json")
    return directory


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory, plugins: Path) -> Path:
    """The storage of a registry that has plugins and an image."""
    directory = tmp_path_factory.mktemp("r")
    with (
        docker_registry.run(directory / "registry") as registry,
        daemon.run(directory / "d") as agent,
    ):
        for reference, (name, config) in PUBLISHED.items():
            built = plugins / (name if config == "config.json" else "localdir-2")
            agent.cli("plugin", "create", f"{registry.host}/{reference}", str(built))
            agent.cli("plugin", "push", f"{registry.host}/{reference}")
        image.push(registry.host, "busybox", *image.busybox())
    return directory / "registry" / "storage"


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Download all that the agent's wheel depends on, at most once."""
    directory = tmp_path_factory.mktemp("wheelhouse")

    def fill() -> Path:
        if not any(directory.iterdir()):
            download_wheels(directory)
        return directory

    return fill


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, plugins: Path, storage: Path
) -> dict[str, str]:
    """The shell's environment; names with PAGES_ are for the scripts in setup/."""
    directory = tmp_path_factory.mktemp("pages")
    tls.make_certificate(directory, "registry.example.com")
    archive = directory / "busybox.tar"
    archive.write_bytes(image.archive("busybox:latest", *image.busybox()))
    (directory / "plugind.init").write_text(_init_script())
    places = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "PATH": f"{places}:{Path(sys.executable).parent}",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "PAGES_CERTIFICATES": str(directory),
        "PAGES_IMAGE": str(archive),
        "PAGES_INIT": str(directory / "plugind.init"),
        "PAGES_PLUGINS": str(plugins),
        "PAGES_PYTHON": sys.executable,
        "PAGES_ROOTFS": str(ROOT / ".build" / "rootfs"),
        "PAGES_SECRET": SECRET,
        "PAGES_SETUP": str(SETUP),
        "PAGES_SOURCES": str(Path(plugind.__file__).parents[1]),
        "PAGES_REPOSITORY": str(ROOT),
        "PAGES_STORAGE": str(storage),
    }


def _init_script() -> str:
    """Return the role's init script, filled in as the role does by default."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    values = {name: defaults[name] for name in ("agent_config", "agent_wait")}
    values |= {
        "__agent_executable": "/opt/plugind/bin/plugind",
        "__agent_pidfile": "/run/plugind.pid",
        "__agent_logs": "/var/log/plugind",
    }
    templates = jinja2.Environment(autoescape=False, keep_trailing_newline=True)
    templates.filters["quote"] = shlex.quote
    return templates.from_string((ROLE / "templates" / "plugind.init.j2").read_text()).render(
        values
    )


# ---------------------------------------------------------------------------------------------------------- the count

RUN = pytest.StashKey[list[pages.Page]]()


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> list[pages.Page]:
    """The pages that were typed; counted at the end."""
    return request.config.stash.setdefault(RUN, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many commands ran, and which are left to others."""
    typed = config.stash.get(RUN, [])
    if not typed:
        return
    terminalreporter.section("commands of the documentation")
    for page in typed:
        terminalreporter.write_line(f"{page.path.relative_to(ROOT)}: {page.commands} run")
    terminalreporter.write_line(f"{sum(page.commands for page in typed)} commands run")
    left: Counter[str] = Counter()
    for page in pages.find(ROOT).values():
        left.update({file: len(those) for file, those in page.left.items()})
    for file, count in sorted(left.items()):
        terminalreporter.write_line(f"{count} more are run by {file}")
