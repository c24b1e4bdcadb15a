# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""References, with Docker's normalisation. The tables are those of distribution/reference."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugind import errors
from plugind.model import reference
from plugind.model.digest import Digest
from plugind.model.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("sshfs", "docker.io/library/sshfs", "sshfs"),
        ("sshfs:latest", "docker.io/library/sshfs:latest", "sshfs:latest"),
        ("library/sshfs", "docker.io/library/sshfs", "sshfs"),
        ("vieux/sshfs", "docker.io/vieux/sshfs", "vieux/sshfs"),
        ("docker.io/sshfs", "docker.io/library/sshfs", "sshfs"),
        ("docker.io/vieux/sshfs:1.0", "docker.io/vieux/sshfs:1.0", "vieux/sshfs:1.0"),
        ("index.docker.io/vieux/sshfs", "docker.io/vieux/sshfs", "vieux/sshfs"),
        ("index.docker.io/sshfs", "docker.io/library/sshfs", "sshfs"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("a/b/c", "docker.io/a/b/c", "a/b/c"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("example.org/x", "example.org/x", "example.org/x"),
        ("example.org/library/x", "example.org/library/x", "example.org/library/x"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("[fd00::1]/x:y", "[fd00::1]/x:y", "[fd00::1]/x:y"),
        ("host:5000/x", "host:5000/x", "host:5000/x"),
        ("Host/x", "Host/x", "Host/x"),
        ("xn--n3h.com/x", "xn--n3h.com/x", "xn--n3h.com/x"),
        ("a__b/c.d/e--f", "docker.io/a__b/c.d/e--f", "a__b/c.d/e--f"),
        ("a:_T.a-g", "docker.io/library/a:_T.a-g", "a:_T.a-g"),
        ("localhost", "docker.io/library/localhost", "localhost"),
        ("example.org:5000", "docker.io/library/example.org:5000", "example.org:5000"),
        (f"a@{DIGEST}", f"docker.io/library/a@{DIGEST}", f"a@{DIGEST}"),
        (f"a:b@{DIGEST}", f"docker.io/library/a:b@{DIGEST}", f"a:b@{DIGEST}"),
        (f"h:1/a:b@{DIGEST}", f"h:1/a:b@{DIGEST}", f"h:1/a:b@{DIGEST}"),
        (HEX[:-1], f"docker.io/library/{HEX[:-1]}", HEX[:-1]),
        (f"x/{HEX}", f"docker.io/x/{HEX}", f"x/{HEX}"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128, "a:" + "t" * 128),
    ],
)
def test_normalisation(text: str, full: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == full
    assert parsed.familiar == familiar
    assert reference.parse(full) == parsed
    assert reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/",
        "@",
        ":tag",
        f"@{DIGEST}",
        "a:",
        "a:b:c",
        "a@",
        "a@sha256:12",
        "a@sha512:" + HEX * 2,
        f"a@{DIGEST}@{DIGEST}",
        "a/",
        "/a",
        "a//b",
        "-a",
        "a-",
        "a_",
        "_a",
        ".a",
        "a..b",
        "a___b",
        "a._b",
        "A",
        "a/B",
        "example.org/A",
        "a b",
        "a\n",
        "a:b\n",
        "a/../b",
        "../a",
        "a:-b",
        "a:.b",
        "a:" + "t" * 129,
        "\u00e4/b",
        "a\u0661",
        "-host.example/a",
        "host-.example/a",
        "host:port/a",
        "host:/a",
        "[::1/a",
        "[]:5000/a",
        "https://example.org/a",
        HEX,
        "example.org/" + "a" * 244,
        "a" * 238,
        "example.org/",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        reference.parse(text)
    assert str(caught.value).startswith(("invalid reference format", "invalid digest"))


def test_the_longest_name() -> None:
    assert reference.parse("example.org/" + "a" * 243).repository == "example.org/" + "a" * 243


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEX, "64 hexadecimal digits are an id"),
        ("Vieux", "must be lowercase"),
        ("a:-", "tag is malformed"),
        ("example.org/" + "a" * 250, "more than 255"),
        ("a_", "want"),
    ],
)
def test_the_error_says_why(text: str, why: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=why) as caught:
        reference.parse(text)
    assert f'"{text}"' in str(caught.value)


def test_tags_and_digests() -> None:
    both = reference.parse(f"a/b:t@{DIGEST}")
    assert both.digest == Digest.parse(DIGEST)
    assert both.registry_name == DIGEST
    assert str(both.without_tag()) == f"docker.io/a/b@{DIGEST}"
    assert str(both.tagged()) == "docker.io/a/b:t"
    assert both.with_default_tag() is both

    by_digest = reference.parse(f"a/b@{DIGEST}")
    assert by_digest.with_default_tag() is by_digest
    assert str(by_digest.tagged()) == "docker.io/a/b:latest"

    bare = reference.parse("a/b")
    assert bare.registry_name == "latest"
    assert str(bare.with_default_tag()) == "docker.io/a/b:latest"
    assert bare.with_default_tag().registry_name == "latest"
    assert reference.parse("a/b:t").registry_name == "t"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sshfs", "sshfs:latest"),
        ("docker.io/vieux/sshfs", "vieux/sshfs:latest"),
        ("vieux/sshfs:next", "vieux/sshfs:next"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert reference.canonical_name(text) == name
    assert reference.parse_name(text).familiar == name
    assert reference.canonical_name(name) == name


def test_a_name_has_no_digest() -> None:
    with pytest.raises(errors.InvalidParameter, match="cannot use digest in plugin tag"):
        reference.parse_name(f"a@{DIGEST}")


component = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
host = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?", fullmatch=True)
domains = st.one_of(
    st.just("docker.io"),
    st.just("localhost"),
    st.builds(lambda a, b: f"{a}.{b}", host, host).filter(lambda d: d != "index.docker.io"),
    st.builds(lambda a, port: f"{a}:{port}", host, st.integers(0, 65535)),
    st.builds(lambda port: f"[::1]:{port}", st.integers(0, 65535)),
)
paths = st.lists(component, min_size=2, max_size=4).map("/".join)
tags = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.none() | st.binary().map(Digest.of)


def is_possible(ref: Reference) -> bool:
    """False where Docker's familiar form is ambiguous too: a namespace of docker.io like a host.

    `docker.io/a.b/c` is shortened to `a.b/c`, which means another registry. Docker's registry
    gives out no such namespaces.
    """
    first = ref.path.partition("/")[0]
    ambiguous = ref.domain == "docker.io" and ("." in first or first == "localhost")
    return len(ref.repository) <= 255 and not ambiguous


references = st.builds(Reference, domains, paths, tags, digests).filter(is_possible)


@settings(deadline=None)  # other tests may need the processor
@given(references)
def test_both_forms_mean_the_same(ref: Reference) -> None:
    assert reference.parse(str(ref)) == ref
    assert reference.parse(ref.familiar) == ref
    assert len(ref.familiar) <= len(str(ref))


@settings(deadline=None)  # other tests may need the processor
@given(references)
def test_changes_stay_references(ref: Reference) -> None:
    assert reference.parse_name(str(ref.tagged())) == ref.tagged()
    assert ref.tagged().tagged() == ref.tagged()
    assert ref.without_tag().repository == ref.repository
    assert ref.with_default_tag().with_default_tag() == ref.with_default_tag()
    assert dataclasses.replace(ref, tag=None, digest=None) == reference.parse(ref.repository)


@settings(deadline=None)  # other tests may need the processor
@given(st.text() | st.from_regex(r"[a-zA-Z0-9.:/@_\[\]-]{0,40}", fullmatch=True))
def test_any_text_parses_to_itself_or_is_refused(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except errors.InvalidParameter as exc:
        assert str(exc)  # noqa: PT017 - either outcome is right; a third one is what we look for
    else:
        assert reference.parse(str(parsed)) == parsed
        assert not is_possible(parsed) or reference.parse(parsed.familiar) == parsed
        assert ".." not in parsed.path.split("/")
