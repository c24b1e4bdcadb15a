# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every verb, in one table: parsers, help, completion and docs/cli.md are made of it.

A line says the verb's name, what it does, which function does it, and what it takes. A function is
imported only when it is called; this module imports nothing, because every verb waits for it.
"""

from __future__ import annotations

#: What an argument's value can be completed from.
PLUGIN, VOLUME, MOUNT, FILE, DIRECTORY = "plugin", "volume", "mount", "file", "directory"

EXIT_CODES = (
    (0, "done, or nothing to do"),
    (1, "failed; standard error has the reason"),
    (2, "the usage or the document is wrong; nothing was done"),
    (3, "the agent, or the engine, does not answer"),
)


class Argument:
    """One argument or option; `how` is what argparse's add_argument takes."""

    __slots__ = ("completes", "help", "how", "names")

    def __init__(self, *names: str, help: str, completes: str = "", **how: object) -> None:
        self.names = names
        self.help = help
        self.completes = completes
        self.how = how

    @property
    def is_option(self) -> bool:
        """False for what has a place and no name."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """True for an argument, and for an option that is no flag."""
        return not str(self.how.get("action", "")).startswith("store_")

    @property
    def shown(self) -> str:
        """Its value as help names it."""
        return str(self.how.get("metavar") or self.names[-1].lstrip("-").upper())


class Verb:
    """One verb. `call` is `module:function`; a group has `verbs` of its own, `ls` the default."""

    __slots__ = ("arguments", "call", "more", "name", "summary", "verbs")

    def __init__(
        self,
        name: str,
        summary: str,
        call: str,
        *arguments: Argument,
        more: str = "",
        verbs: tuple[Verb, ...] = (),
    ) -> None:
        self.name = name
        self.summary = summary
        self.call = call
        self.arguments = arguments
        self.more = more
        self.verbs = verbs


SOCKET = Argument("--socket", help="the agent's socket", metavar="PATH", completes=FILE)
JSON = Argument("--json", help="print JSON", action="store_true")
_ENGINE = Argument("--engine", help="a Docker Engine instead, unix:///path", metavar="URL")
_DOCUMENT = Argument(
    "file", help="JSON; - (default): standard input", nargs="?", default="-", metavar="FILE",
    completes=FILE,
)  # fmt: skip
_NAME = Argument("name", help="a plugin's name or id", metavar="NAME", completes=PLUGIN)
_VOLUME = Argument("name", help="a volume's name", metavar="VOLUME", completes=VOLUME)
_FORCE = Argument("-f", "--force", help="although it is in use", action="store_true")
_HOLDER = Argument("--holder", help="who mounts it", default="operator")
_TIMEOUT = Argument(
    "--timeout", help="seconds that its socket may take to answer", type=int, default=30
)
_DIFF = Argument("--diff", help="show the state before and after", action="store_true")
_DRY_RUN = Argument("--dry-run", help="only say what would be done", action="store_true")
_SETTINGS = Argument(
    "settings", help="settings, as `docker plugin set` takes them", nargs="*", metavar="KEY=VALUE"
)
_PULL = (
    Argument(
        "--grant-all-permissions", help="grant what it asks for, without a question",
        action="store_true",
    ),
    Argument("--username", help="for the registry", default=""),
    Argument("--password-stdin", help="read the password from standard input", action="store_true"),
    _TIMEOUT,
)  # fmt: skip
_PROPAGATIONS = ("rprivate", "private", "rslave", "slave", "rshared", "shared")
_WHEN = "Unix time, 2026-11-24T12:00:00Z, or how long ago: 90s, 10m, 2h, 1d"

_VOLUMES = (
    Verb("ls", "List volumes", "volumes:list_volumes", JSON, SOCKET),
    Verb("mount", "Mount a volume, print where", "volumes:mount", _VOLUME, _HOLDER, JSON, SOCKET),
    Verb("unmount", "Release a mount", "volumes:unmount", _VOLUME, _HOLDER, JSON, SOCKET),
    Verb("holders", "Say who has a volume mounted", "volumes:holders", _VOLUME, JSON, SOCKET),
    Verb(
        "rm", "Remove a volume", "volumes:remove", _VOLUME,
        Argument("-f", "--force", help="the record goes, whatever the driver says", action="store_true"),
        JSON, SOCKET,
    ),
)  # fmt: skip

_PATH = Argument("path", help="a path of the host", metavar="PATH", completes=MOUNT)
_MOUNTS = (
    Verb(
        "ls", "List host mounts and their states", "mounts:list_mounts", JSON, SOCKET,
        more="""\
mounted      the volume is seen at the path
unmounted    recorded, and nothing is there
stale        its driver's mount is dead or gone
covered      something else is mounted there""",
    ),
    Verb(
        "mount", "Mount a volume at a path, or repair the mount", "mounts:mount",
        Argument("volume", help="a volume's name", metavar="VOLUME", completes=VOLUME),
        Argument("path", help="a path of the host", metavar="PATH", completes=DIRECTORY),
        Argument("--read-only", help="nothing can be written there", action="store_true"),
        Argument(
            "--propagation", help="how later mounts are passed on", choices=_PROPAGATIONS,
            default=_PROPAGATIONS[0], metavar="HOW",
        ),
        Argument("--mode", help="of the directory, if it is made", default=""),
        Argument("--owner", help="of the directory, if it is made", default=""),
        Argument("--group", help="of the directory, if it is made", default=""),
        Argument("--allow-nonempty", help="hide what is there", action="store_true"),
        JSON, SOCKET,
    ),
    Verb("unmount", "Unmount, for good", "mounts:unmount", _PATH, _FORCE, JSON, SOCKET),
)  # fmt: skip

VERBS = (
    Verb("ls", "List plugins, their states and restarts", "plugins:list_plugins", JSON, SOCKET),
    Verb(
        "inspect", "Show all that is known of a plugin, as JSON", "plugins:inspect", _NAME,
        Argument("--secrets", help="for root: in clear", action="store_true"), JSON, SOCKET,
    ),
    Verb(
        "install", "Install a plugin and enable it", "install:install",
        Argument("source", help="where it comes from: a reference", metavar="REFERENCE"), _SETTINGS,
        Argument("--alias", help="its name on this host", default=""),
        Argument("--disable", help="do not enable it", action="store_true"),
        *_PULL, JSON, SOCKET,
        more="What the plugin asks for is shown, and asked about on a terminal.",
    ),
    Verb(
        "upgrade", "Upgrade a plugin, enabled or not, with a way back", "install:upgrade",
        _NAME,
        Argument("source", help="a reference; by default where it came from", nargs="?", default="",
                 metavar="REFERENCE"),
        _SETTINGS, *_PULL, JSON, SOCKET,
        more="It runs until the new version is pulled; whatever fails puts the old one back.",
    ),
    Verb("enable", "Start a plugin", "plugins:enable", _NAME, _TIMEOUT, JSON, SOCKET),
    Verb("disable", "Stop a plugin", "plugins:disable", _NAME, _FORCE, JSON, SOCKET),
    Verb("rm", "Remove a plugin", "plugins:remove", _NAME, _FORCE, JSON, SOCKET),
    Verb(
        "logs", "Print a plugin's output", "plugins:logs", _NAME,
        Argument("-f", "--follow", help="go on as it is written", action="store_true"),
        Argument("-n", "--tail", help="start with the last N lines", type=int, metavar="N"),
        JSON, SOCKET,
        more="What it wrote on standard error comes on standard error.",
    ),
    Verb(
        "exec", "Run a command in a plugin's container", "plugins:execute",
        Argument("-t", "--tty", help="give it a terminal", action="store_true"), SOCKET, _NAME,
        Argument("command", help="the command; sh by default", nargs="...", metavar="COMMAND"),
        more="The exit code is the command's.",
    ),
    Verb(
        "rpc", "Make one raw call of a plugin's socket", "plugins:rpc", _NAME,
        Argument("method", help="as VolumeDriver.List", metavar="METHOD"),
        Argument("body", help="the body", nargs="?", default="{}", metavar="BODY"), JSON, SOCKET,
    ),
    Verb("volumes", "List, mount and release volumes", "", verbs=_VOLUMES),
    Verb("mounts", "Volumes at paths of the host", "", verbs=_MOUNTS),
    Verb(
        "events", "Print what happens, as JSON lines", "events:run",
        Argument("--since", help=f"first what was: {_WHEN}", default="", metavar="WHEN"),
        Argument("--until", help="end then; now: what was", default="", metavar="WHEN"),
        Argument("--filter", help="as `docker events`; again for more", action="append", default=[],
                 metavar="KEY=VALUE"),
        Argument("--announce", help="a first line that says that the stream is open",
                 action="store_true"),
        JSON, SOCKET,
    ),
    Verb(
        "apply", "Make a declaration true", "apply:apply", _DOCUMENT, _DRY_RUN,
        _DIFF,
        JSON, _ENGINE, SOCKET,
    ),
    Verb(
        "rollback", "Go back from the last change that apply made", "rollback:run",
        Argument("id", help="the change; by default the last one", nargs="?", metavar="ID"),
        Argument("--remove-volumes", help="remove the volumes that it created, with their data",
                 action="store_true"),
        _DRY_RUN, _DIFF, JSON, _ENGINE, SOCKET,
        more="If ID is not the last change, nothing is done.",
    ),
    Verb("query", "Read plugins and volumes, as JSON", "apply:query", _DOCUMENT, JSON, _ENGINE,
         SOCKET),
    Verb(
        "build", "Build a plugin from a directory, and push it", "build:run", _DOCUMENT, _DRY_RUN,
        Argument("--state-dir", help="where builds are kept", metavar="DIR", completes=DIRECTORY),
        JSON, _ENGINE, SOCKET,
    ),
    Verb(
        "run", "Run a one-off container, JSON in and out", "run:run_verb", _DOCUMENT, JSON,
        _ENGINE, SOCKET,
    ),
    Verb("doctor", "Say what this host lacks", "doctor:run", JSON, SOCKET),
    Verb("ping", "Say whether the agent answers", "plugins:ping", JSON, SOCKET),
    Verb("version", "Print the versions of client and agent", "plugins:version", JSON, SOCKET),
    Verb(
        "completion", "Print what makes a shell complete these verbs", "complete:run",
        Argument("shell", help="which shell", choices=("bash", "zsh"), metavar="SHELL"),
        more="""\
The role installs it. By hand, into
/usr/share/bash-completion/completions/plugind, or
/usr/share/zsh/vendor-completions/_plugind.""",
    ),
    Verb(
        "serve", "Run the agent", "",
        Argument("--config", help="its options", metavar="FILE", completes=FILE),
        more="Every option of the file can be given, or stand in the environment, as well.",
    ),
)  # fmt: skip


def find(name: str, verbs: tuple[Verb, ...] = VERBS) -> Verb | None:
    """Return the verb of that name."""
    return next((verb for verb in verbs if verb.name == name), None)
