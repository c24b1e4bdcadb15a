# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The declaration: what shall be true of plugins and volumes on a host, as typed values.

`parse_declaration` turns a JSON document into `Desired`. The published schema
(`declaration.schema.json`) says which shapes there are; this file adds what a schema cannot say:
references parse, names are canonical, nothing is declared twice, what a plugin requires is there.
Every problem is reported at once, with its path, and no problem's text repeats a value that may be
a secret.

Values are what the engine will see: `1` becomes "1", `true` becomes "true"; a null option, label
or variable is the same as none, so it is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from plugind import errors
from plugind.model import host_mount, requires, schema
from plugind.model import reference as reference_
from plugind.model.credentials import Credentials
from plugind.model.host_mount import MOUNTED, HostMount
from plugind.model.reference import Reference
from plugind.model.secrets import MASK, OPTIONS_LABEL, SecretPolicy, parse_names
from plugind.model.verify import CHANGED, Verify

ENABLED, PRESENT, DISABLED, ABSENT = "enabled", "present", "disabled", "absent"
NEVER, OPTIONS_CHANGED, ALWAYS = "never", "options-changed", "always"
LOCAL = "local"
PLUGINS, VOLUMES, MOUNTS = "plugins", "volumes", "mounts"
T = TypeVar("T")
_PRIVATE_PATH = re.compile(r"\.(credentials|settings|options)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSettings:
    """The settings that are managed. `args` None means that the arguments are left alone."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    args: tuple[str, ...] | None = field(default=None, repr=False)
    mounts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.env or self.args is not None or self.mounts or self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredPlugin:
    """One plugin. `name` is canonical; `grant` None means whatever the plugin asks for.

    `requires` are canonical names of the same declaration's plugins.
    """

    name: str
    source: Reference | None = None
    state: str = ENABLED
    grant: Mapping[str, tuple[str, ...]] | None = field(default_factory=dict)
    grant_declared: bool = False
    settings: DesiredSettings = DesiredSettings()
    secret_settings: frozenset[str] = frozenset()
    credentials: Credentials | None = None
    timeout: float = 30.0
    force: bool = False
    requires: tuple[str, ...] = ()
    verify: Verify | None = None

    @property
    def resource(self) -> str:
        """What the plugin is called in results."""
        return f"plugin/{self.name}"

    def secrets(self, policy: SecretPolicy) -> Iterator[str]:
        """Yield the secret values in its declaration, the registry's credentials too."""
        policy = policy.naming(self.secret_settings)
        for name, value in self.settings.env.items():
            yield from policy.find(name, value)
        yield from policy.find_in_args(self.settings.args or ())
        given = self.credentials or Credentials()
        yield from filter(None, (given.password, given.identity_token, given.registry_token))
        if self.verify is not None:
            yield from self.verify.secrets(policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVolume:
    """One volume. `driver` is canonical, `driver_as_given` is what was written.

    `options` and `labels` are None when they are not managed.
    """

    name: str
    driver: str = LOCAL
    driver_as_given: str = LOCAL
    options: Mapping[str, str] | None = field(default=None, repr=False)
    labels: Mapping[str, str] | None = None
    secret_options: frozenset[str] = frozenset()
    state: str = PRESENT
    recreate: str = NEVER
    force: bool = False

    @property
    def resource(self) -> str:
        """What the volume is called in results."""
        return f"volume/{self.name}"

    @property
    def named_secrets(self) -> frozenset[str]:
        """The options that the declaration names as secrets, by itself or by a label."""
        label = (self.labels or {}).get(OPTIONS_LABEL)
        return self.secret_options | parse_names(label)

    def secrets(self, policy: SecretPolicy) -> Iterator[str]:
        """Yield the secret values in its declaration."""
        policy = policy.naming(self.named_secrets)
        for name, value in (self.options or {}).items():
            yield from policy.find(name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredMount:
    """One volume at a path of the host. `mount` says how; of an absent one only the path counts."""

    mount: HostMount
    state: str = MOUNTED
    allow_nonempty: bool = False
    force: bool = False

    @property
    def resource(self) -> str:
        """What the mount is called in results."""
        return f"mount/{self.mount.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """A whole declaration.

    prune     of these kinds, what is on the host and is not declared is removed
    rollback  what a run has done is undone if any of it fails
    """

    plugins: tuple[DesiredPlugin, ...] = ()
    volumes: tuple[DesiredVolume, ...] = ()
    mounts: tuple[DesiredMount, ...] = ()
    prune: frozenset[str] = frozenset()
    rollback: bool = False


def parse_declaration(document: Any) -> Desired:
    """Parse a declaration; InvalidParameter lists every problem with its path."""
    found = [_discreet(problem) for problem in schema.problems("declaration", document)]
    if found:
        raise _invalid(found)
    plugins: list[DesiredPlugin] = []
    volumes: list[DesiredVolume] = []
    for position, entry in enumerate(document.get("plugins") or ()):
        path = f".plugins[{position}]"
        try:
            plugins.append(_plugin(entry, path))
        except errors.InvalidParameter as exc:
            found.append(str(exc))
    for position, entry in enumerate(document.get("volumes") or ()):
        path = f".volumes[{position}]"
        try:
            volumes.append(_volume(entry, path))
        except errors.InvalidParameter as exc:
            found.append(str(exc))
    mounts: list[DesiredMount] = []
    for position, entry in enumerate(document.get("mounts") or ()):
        try:
            mounts.append(_mount(entry))
        except errors.InvalidParameter as exc:
            found.append(f".mounts[{position}]: {exc}")
    found += _twice("mounts", [mount.mount.path for mount in mounts])
    found += _twice("plugins", [plugin.name for plugin in plugins])
    found += _twice("volumes", [volume.name for volume in volumes])
    if not found:  # else what is missing may be what could not be read
        found += _requirements(plugins)
    if found:
        raise _invalid(found)
    return Desired(
        plugins=tuple(plugins),
        volumes=tuple(volumes),
        mounts=tuple(mounts),
        prune=frozenset(document.get("prune") or ()),
        rollback=document.get("rollback", any(plugin.verify for plugin in plugins)),
    )


def canonical_driver(text: str) -> str:
    """Return a volume driver's name as the engine reports it: `local`, or a plugin's name:tag."""
    return text if text == LOCAL else reference_.canonical_name(text)


def render_scalar(value: object) -> str:
    """Return a scalar as the engine sees it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _plugin(entry: Mapping[str, Any], path: str) -> DesiredPlugin:
    source = _parsed(reference_.parse, entry.get("source"), f"{path}.source")
    name = _parsed(reference_.canonical_name, entry.get("name"), f"{path}.name")
    if name is None:
        if source is None:
            raise errors.InvalidParameter(f"{path}: one of name and source is needed")
        name = source.tagged().familiar
    state = entry.get("state", ENABLED)
    return DesiredPlugin(
        name=name,
        source=None if source is None else source.with_default_tag(),
        state=state,
        grant=_grant(entry.get("grant", {})),
        grant_declared="grant" in entry,
        settings=_settings(entry.get("settings") or {}, f"{path}.settings"),
        secret_settings=frozenset(entry.get("secret_settings") or ()),
        credentials=_credentials(entry.get("credentials")),
        timeout=float(entry.get("timeout", 30)),
        force=entry.get("force", False),
        requires=tuple(_requires(entry.get("requires") or (), f"{path}.requires")),
        verify=_verify(entry.get("verify", False), state, f"{path}.verify"),
    )


def _requires(names: Iterable[str], path: str) -> Iterator[str]:
    for position, text in enumerate(names):
        yield _checked(reference_.canonical_name, text, f"{path}[{position}]")


def _requirements(plugins: list[DesiredPlugin]) -> Iterator[str]:
    return requires.problems(
        [plugin.name for plugin in plugins],
        {plugin.name: plugin.requires for plugin in plugins},
        {plugin.name for plugin in plugins if plugin.state == ABSENT},
    )


def _verify(given: bool | Mapping[str, Any], state: str, path: str) -> Verify | None:
    if given is False:
        return None
    if state in (DISABLED, ABSENT):
        raise errors.InvalidParameter(f"{path}: a plugin that is declared {state} serves nothing")
    document = {} if given is True else given
    volume = document.get("volume")
    options = None if volume is None else _scalars(volume.get("options")) or {}
    _require_values(options or {}, f"{path}.volume.options")
    activate = document.get("activate", True)
    if not activate and options is None:
        raise errors.InvalidParameter(
            f"{path}: nothing is verified with neither activate nor volume"
        )
    return Verify(
        activate=activate,
        volume=options,
        timeout=float(document.get("timeout", 30)),
        when=document.get("when", CHANGED),
    )


def _grant(document: Any) -> Mapping[str, tuple[str, ...]] | None:
    if document == "all":
        return None
    return {name: _values(value) for name, value in document.items()}


def _values(value: Any) -> tuple[str, ...]:
    if value is True:
        return ("true",)
    return (value,) if isinstance(value, str) else tuple(value)


def _settings(document: Mapping[str, Any], path: str) -> DesiredSettings:
    args = document.get("args")
    if isinstance(args, str):
        args = [part for part in args.split(" ") if part]
    if args is not None:
        args = tuple(render_scalar(arg) for arg in args)
        _require_values(dict.fromkeys(("args",), " ".join(args)), path)
        if any(" " in arg or not arg for arg in args):
            raise errors.InvalidParameter(
                f"{path}.args: an argument cannot be empty or contain a space, "
                "because the engine splits arguments at spaces"
            )
    env = _scalars(document.get("env")) or {}
    _require_values(env, f"{path}.env")
    return DesiredSettings(
        env=env,
        args=args,
        mounts=dict(document.get("mounts") or {}),
        devices=dict(document.get("devices") or {}),
    )


def _credentials(document: Mapping[str, str] | None) -> Credentials | None:
    credentials = Credentials(**(document or {}))
    return credentials or None


def _volume(entry: Mapping[str, Any], path: str) -> DesiredVolume:
    name = entry["name"]
    if "\0" in name or "\n" in name:
        raise errors.InvalidParameter(f"{path}.name: must not contain NUL or newline")
    given = entry.get("driver", LOCAL)
    options = _scalars(entry.get("options"))
    _require_values(options or {}, f"{path}.options")
    return DesiredVolume(
        name=name,
        driver=_parsed(canonical_driver, given, f"{path}.driver") or LOCAL,
        driver_as_given=given,
        options=options,
        labels=_scalars(entry.get("labels")),
        secret_options=frozenset(entry.get("secret_options") or ()),
        state=entry.get("state", PRESENT),
        recreate=entry.get("recreate", NEVER),
        force=entry.get("force", False),
    )


def _mount(entry: Mapping[str, Any]) -> DesiredMount:
    state = entry.get("state", MOUNTED)
    if state == ABSENT:
        mount = HostMount(path=host_mount.normal_path(entry["path"]), volume="")
    else:
        mount = host_mount.parse(entry)
    return DesiredMount(
        mount=mount,
        state=state,
        allow_nonempty=entry.get("allow_nonempty", False),
        force=entry.get("force", False),
    )


def _scalars(document: Mapping[str, Any] | None) -> dict[str, str] | None:
    if document is None:
        return None
    return {name: render_scalar(value) for name, value in document.items() if value is not None}


def _require_values(values: Mapping[str, str], path: str) -> None:
    """Refuse the mask of a secret where a value should be: it comes from a result."""
    for name, value in values.items():
        if MASK in value:
            raise errors.InvalidParameter(
                f"{path}.{name}: {MASK} is how a secret is shown; give the value itself"
            )


def _parsed(parse: Callable[[str], T], text: str | None, path: str) -> T | None:
    return None if text is None else _checked(parse, text, path)


def _checked(parse: Callable[[str], T], text: str, path: str) -> T:
    try:
        return parse(text)
    except errors.InvalidParameter as exc:
        raise errors.InvalidParameter(f"{path}: {exc}") from exc


def _twice(what: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        places = [f"[{n}]" for n, other in enumerate(names) if other == name]
        yield f'.{what}: "{name}" is declared more than once: {", ".join(places)}'


def _discreet(problem: str) -> str:
    """Drop what jsonschema quotes from the document where that may be a secret."""
    path, _, message = problem.partition(": ")
    if message.startswith(("{", "[")):
        # A whole object or list is quoted; whatever is in it.
        _, _, kind = message.rpartition(" is ")
        return f"{path}: is {kind}" if "not of type" in kind else f"{path}: is not valid"
    if (
        not _PRIVATE_PATH.search(path)
        or "were unexpected" in message
        or "was unexpected" in message
    ):
        return problem
    _, marker, kind = message.rpartition(" is not of type ")
    return f"{path}: is not of type {kind}" if marker else f"{path}: is not valid"


def _invalid(found: list[str]) -> errors.InvalidParameter:
    return errors.InvalidParameter("invalid declaration: " + "; ".join(found))
