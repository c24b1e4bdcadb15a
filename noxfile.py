"""Every check of the project, one session each.

All of them run in the .venv that scripts/setup.sh makes: nothing is installed here, so a session costs what its
check costs. `make test` runs the sessions marked default, some at a time; `nox -s NAME -- ARGS` runs one, passing
ARGS on.

Tags say what scripts/check.py must know:

    nightly    runs in `make test-all` only
    long       takes minutes: begins before the others
    machine    has this machine to itself (the paths of an installed agent, what lies empty in /run): never beside
               another of these, nor one with engines
    engines    makes Docker Engines and SSH servers, which want directories in /run that a demo may take away
    ansible    makes or uses ansible-test's virtual environments: never two of these at a time
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "scripts"))
from pythons import CONTROLLERS, TARGETS, find_python

ROOT = Path(__file__).parent.resolve()
BUILD = ROOT / ".build"
BIN = ROOT / ".venv" / "bin"
COLLECTION = BUILD / "collections" / "ansible_collections" / "plugind" / "engine"
REPORTS = BUILD / "reports"

nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = False

# For every program that a session starts, and what those start.
os.environ["PATH"] = os.pathsep.join([str(BIN), os.environ["PATH"]])
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(BUILD / "collections")
os.environ.setdefault("ANSIBLE_HOME", str(BUILD / "ansible"))
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

AGENT = "agent/pyproject.toml"
PYTHON_ROOMS = ["agent", "plugins", "playbooks", "tests", "scripts", "examples", "extensions"]
PYTHON_ROOMS += ["docs", "noxfile.py"]


def run_pytest(session: nox.Session, room: str, *args: str, marks: str | None = None) -> None:
    """The tests of one room. Their counts go to .build/reports, for the closing line of `make test`."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    select = [] if marks is None else ["-m", marks]
    report = f"--junit-xml={REPORTS / session.name}.xml"
    # Interrupted, pytest has daemons to end and mounts to undo.
    patience = {"interrupt_timeout": 75, "terminate_timeout": 10}
    session.run("pytest", room, report, *args, *select, *session.posargs, **patience)


def find_targets(session: nox.Session) -> list[str]:
    """Those of TARGETS that this machine has; the others are named, whatever else is said."""
    found = [version for version in TARGETS if find_python(version)]
    lacking = [version for version in TARGETS if version not in found]
    if lacking:
        session.warn(f"NOT TESTED on Python {', '.join(lacking)}: not on this machine")
    if not found:
        session.error("no Python that targets have on this machine")
    return found


def run_units(session: nox.Session, targets: list[str], *paths: str) -> None:
    """ansible-test units in virtual environments of its own, one for each of these Pythons."""
    pythons = [f"--target-python=venv/{version}" for version in dict.fromkeys(targets)]
    session.run("scripts/ansible_test.sh", "units", "--requirements", *pythons, *paths)


# ------------------------------------------------------------------------------------------------------------- checks


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint, both buildings."""
    session.run("ruff", "format", "--check", *PYTHON_ROOMS)
    session.run("ruff", "check", *PYTHON_ROOMS)


@nox.session(default=False)
def fix(session: nox.Session) -> None:
    """Format, and mend what ruff can mend."""
    rooms = session.posargs or PYTHON_ROOMS
    session.run("ruff", "check", "--fix", *rooms, success_codes=[0, 1])
    session.run("ruff", "format", *rooms)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the agent."""
    session.run("mypy", "--config-file", AGENT, "agent/src")


@nox.session
def floors(session: nox.Session) -> None:
    """Imports only go down, and "X only in Y" (import-linter)."""
    # The sources, not the installed wheel: what is checked is what is being written.
    env = {"PYTHONPATH": str(ROOT / "agent" / "src")}
    session.run("lint-imports", AGENT, "--no-cache", env=env)


@nox.session
def shape(session: nox.Session) -> None:
    """No Python file above 400 lines, no function above 60, ASCII only."""
    session.run("python", "scripts/shape.py", "sizes", *PYTHON_ROOMS)
    session.run("python", "scripts/shape.py", "ascii", *PYTHON_ROOMS)


@nox.session(default=False)
def mirror(session: nox.Session) -> None:
    """agent/tests/unit mirrors agent/src one to one."""
    session.run("python", "scripts/shape.py", "mirror", "agent/src/plugind", "agent/tests/unit")


@nox.session
def licences(session: nox.Session) -> None:
    """Every file has a licence (REUSE), of a copy: it looks into .build, too, where other sessions make and remove."""
    copy = "git ls-files -z --cached --others --exclude-standard | tar -c --ignore-failed-read --null -T - | tar -x -C"
    with tempfile.TemporaryDirectory(prefix="plugind-licences-") as place:
        session.run("bash", "-o", "pipefail", "-c", f"{copy} {place}", external=True)
        session.run("reuse", "--root", place, "lint", "--lines")


@nox.session
def spelling(session: nox.Session) -> None:
    session.run("codespell")


@nox.session
def shell(session: nox.Session) -> None:
    """shellcheck on every script that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.sh", ".ci/run"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # One that was deleted is still in the index.
    scripts = [name for name in listed.stdout.split() if (ROOT / name).exists()]
    session.run("shellcheck", "--severity=warning", *scripts)


@nox.session
def yaml(session: nox.Session) -> None:
    session.run("yamllint", "--strict", ".")


@nox.session
def ansible_lint(session: nox.Session) -> None:
    """Profile production, offline; run on the collection path, else our own names are unknown."""
    session.chdir(COLLECTION)
    session.run("ansible-lint", "--offline", "--strict", *session.posargs)


@nox.session
def changelog(session: nox.Session) -> None:
    session.run("antsibull-changelog", "lint")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation in modules and roles is complete and its references exist."""
    session.run(
        "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck",
        "--validate-collection-refs=all", str(COLLECTION),
    )  # fmt: skip


@nox.session(tags=["engines"])
def docsite(session: nox.Session) -> None:
    """The site is built, a warning being an error; then its commands are typed, and print what it shows."""
    run_pytest(session, "tests/docs")


@nox.session
def wheel(session: nox.Session) -> None:
    """The agent's wheel comes out the same twice, and holds what it should."""
    session.run("python", "scripts/check_artifacts.py", "wheel")


@nox.session
def galaxy(session: nox.Session) -> None:
    """The collection's tarball comes out the same twice, and holds what it should."""
    dist = BUILD / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "scripts/check_artifacts.py", "collection", str(dist))


# -------------------------------------------------------------------------------------------------------------- tests


@nox.session
def unit(session: nox.Session) -> None:
    """The agent's pure rooms and everything that needs nothing."""
    run_pytest(session, "agent/tests/unit", "-n", "2")


@nox.session
def contract(session: nox.Session) -> None:
    """One suite per Protocol, on the fake and on the real thing."""
    run_pytest(session, "agent/tests/contract")


@nox.session
def functional(session: nox.Session) -> None:
    """The whole daemon on a temporary root with in-process fakes."""
    run_pytest(session, "agent/tests/functional", "-n", "2")


@nox.session(tags=["engines", "long"])
def system(session: nox.Session) -> None:
    """Real runtimes, registry, FUSE, Podman, docker CLI, dockerd."""
    run_pytest(session, "agent/tests/system")


@nox.session
def collection_unit(session: nox.Session) -> None:
    """Modules and Ansible plugins without a host."""
    run_pytest(session, "tests/unit", "-n", "2")


@nox.session(tags=["ansible"])
def sanity(session: nox.Session) -> None:
    """ansible-test sanity on what the tarball holds (ansible-test resolves links, so it gets a copy)."""
    session.run("scripts/ansible_test.sh", "sanity", *session.posargs)


@nox.session(tags=["ansible"])
def units(session: nox.Session) -> None:
    """ansible-test units of the modules on the oldest and the newest Python of targets; nightly on all of them.

    That they compile and can be imported on all of them is seen to by sanity. The Ansible plugins' tests run in
    collection_unit on this ansible-core, and nightly on others.
    """
    found = find_targets(session)
    run_units(
        session,
        [found[0], found[-1]],
        "tests/unit/plugins/modules/",
        "tests/unit/plugins/module_utils/",
    )


@nox.session(tags=["engines", "long"])
def integration(session: nox.Session) -> None:
    """Modules and roles on the agent's engine and on a real dockerd."""
    run_pytest(session, "tests/integration")


@nox.session(tags=["long"])
def fleet(session: nox.Session) -> None:
    """Playbooks over ssh on three hosts, each in namespaces of its own; FLEET_HOSTS for another number."""
    run_pytest(session, "tests/fleet")


@nox.session(tags=["machine"])
def demo(session: nox.Session) -> None:
    """The main job, start to end, by the built tarball, installed where no repository is."""
    closing = REPORTS / "demo.txt"
    REPORTS.mkdir(parents=True, exist_ok=True)
    closing.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="plugind-installed-", dir="/var/tmp") as place:
        session.run("python", "scripts/build_collection.py", place)
        (tarball,) = Path(place).glob("*.tar.gz")
        env = {
            "ANSIBLE_COLLECTIONS_PATH": f"{place}/collections",
            "ANSIBLE_REMOTE_TMP": str(BUILD / "ansible" / "tmp"),
            # Texts as they are, the transcript above all; nothing of what there was no need to do.
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        }
        # Away from the checkout: its ansible.cfg is not the user's.
        with session.chdir(place):
            session.run(
                "ansible-galaxy", "collection", "install", "--offline", "-p", f"{place}/collections",
                str(tarball), env=env,
            )  # fmt: skip
            session.run(
                "ansible-playbook", "--inventory", "localhost,", "--connection", "local",
                "plugind.engine.demo", "-e", f"demo_report={closing}",
                "-e", f"demo_cache={BUILD / 'rootfs'}", *session.posargs, env=env,
            )  # fmt: skip
    session.log(closing.read_text().strip())


# -------------------------------------------------------------------------------------------- nightly (make test-all)

SLOW_ROOMS = {
    "unit": "agent/tests/unit", "contract": "agent/tests/contract",
    "functional": "agent/tests/functional", "system": "agent/tests/system",
    "collection_unit": "tests/unit", "integration": "tests/integration", "docs": "tests/docs",
}  # fmt: skip


@nox.session(default=False, tags=["nightly", "engines"])
@nox.parametrize("room", list(SLOW_ROOMS), ids=list(SLOW_ROOMS))
def slow(session: nox.Session, room: str) -> None:
    """Only the tests marked slow; a room without any passes."""
    path = SLOW_ROOMS[room]
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = f"--junit-xml={REPORTS}/slow-{room}.xml"
    # 5: no test was selected.
    session.run("pytest", path, report, "-m", "slow", *session.posargs, success_codes=[0, 5])


@nox.session(default=False, tags=["nightly"])
@nox.parametrize("version", ["3.12", "3.13"], ids=["3.12", "3.13"])
def pythons(session: nox.Session, version: str) -> None:
    """The agent's unit and functional tests on the newer Pythons."""
    python = find_python(version)
    if python is None:
        session.skip(f"no Python {version} on this machine")
    venv = BUILD / f"py{version}"
    wheels = sorted((ROOT / "roles" / "agent" / "files").glob("plugind-*.whl"))
    if not (venv / "bin" / "pytest").exists():
        shutil.rmtree(venv, ignore_errors=True)
        session.run(python, "-m", "venv", str(venv))
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q"]
    pinned = ["-c", "requirements/dev.txt", "-r", "requirements/agent-tests.txt"]
    session.run(*pip, *pinned, f"{wheels[-1]}[docker]")
    session.run(*pip, "--no-deps", "--force-reinstall", str(wheels[-1]))
    rooms = ["agent/tests/unit", "agent/tests/functional"]
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = f"--junit-xml={REPORTS}/python-{version}.xml"
    session.run(str(venv / "bin" / "pytest"), *rooms, report, "-n", "2", *session.posargs)


@nox.session(default=False, tags=["nightly", "ansible"])
@nox.parametrize(
    "core,controller", CONTROLLERS, ids=[f"{core}-{python}" for core, python in CONTROLLERS]
)
def ansible_test(session: nox.Session, core: str, controller: str) -> None:
    """Sanity and units with each ansible-core and Python of controllers, on every Python of targets."""
    python = find_python(controller)
    if python is None:
        session.skip(f"no Python {controller} on this machine")
    venv = BUILD / f"core-{core}-{controller}"
    if not (venv / "bin" / "ansible-test").exists():
        shutil.rmtree(venv, ignore_errors=True)
        session.run(python, "-m", "venv", str(venv))
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q"]
    session.run(*pip, "--upgrade", f"ansible-core=={core}.*")
    session.env["ANSIBLE"] = str(venv)
    session.run("scripts/ansible_test.sh", "sanity", *session.posargs)
    run_units(session, find_targets(session))


@nox.session(default=False, tags=["nightly"])
def fleet_20(session: nox.Session) -> None:
    """The same on twenty hosts, with what is slow."""
    session.env["FLEET_HOSTS"] = "20"
    run_pytest(session, "tests/fleet", marks="slow or not slow")


@nox.session(default=False, tags=["nightly"])
def molecule(session: nox.Session) -> None:
    """Both roles on hosts of a fleet, scenario by scenario."""
    session.run("molecule", "test", "--all", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Side by side with dockerd and community.docker."""
    session.run(sys.executable, "tests/bench", *session.posargs)


@nox.session(default=False, tags=["nightly", "machine"])
def coverage(session: nox.Session) -> None:
    """Lines and branches of the installed agent that its tests run, room by room; arguments replace the test rooms.

    The daemons that tests start are measured, too, unless they are killed.
    """
    rooms = session.posargs or [
        f"agent/tests/{room}" for room in ("unit", "functional", "contract", "system")
    ]
    data = BUILD / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    env = {"COVERAGE_FILE": str(data / "data"), "COVERAGE_RCFILE": str(ROOT / AGENT)}
    for room in rooms:
        # Only what needs nothing of the machine shares it.
        parallel = ["-n", "2"] if room.endswith(("unit", "functional")) else []
        session.run(
            "pytest", room, *parallel, "--cov=plugind", "--cov-branch", "--cov-append",
            f"--cov-config={AGENT}", "--cov-report=", env=env,
        )  # fmt: skip
    report = str(data / "report.json")
    session.run("coverage", "json", "-q", "-o", report, env=env)
    session.run("coverage", "report", "--skip-covered", "--show-missing", env=env)
    session.run("python", "scripts/coverage_rooms.py", report)
