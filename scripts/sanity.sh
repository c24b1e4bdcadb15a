#!/usr/bin/env bash
# ansible-test sanity on the collection as users get it: the built tarball, unpacked where ansible-test wants it.
# Arguments go to ansible-test; by default it tests every Python that this machine has.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
BUILD=$ROOT/.build
WORK=$BUILD/sanity
TREE=$WORK/ansible_collections/plugind/engine

rm -rf "$WORK"
mkdir -p "$TREE" "$WORK/bin" "$WORK/dist"

"$ROOT/.venv/bin/ansible-galaxy" collection build --output-path "$WORK/dist" >/dev/null
tar -xzf "$WORK"/dist/*.tar.gz -C "$TREE"
# Part of the check, not of the product.
mkdir -p "$TREE/tests"
for part in tests/sanity tests/unit tests/config.yml; do
    if [ -e "$part" ]; then cp -a "$part" "$TREE/tests/"; fi
done

# ansible-test asks the nearest git repository which files there are; without this one that is ours, which ignores .build.
git init --quiet "$TREE"

# A version manager's shims for Pythons that are not chosen exit with an error, which ansible-test takes for a failure.
# The real programs, first on PATH, hide them.
for version in 3.8 3.9 3.10 3.11 3.12 3.13; do
    for candidate in /usr/bin/python$version "$HOME"/.pyenv/versions/$version.*/bin/python$version; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            ln -sf "$candidate" "$WORK/bin/python$version"
            break
        fi
    done
done

# ansible-test fetches its get-pip.py once per release of its own and keeps it here.
cache=$HOME/.ansible/test/cache
mkdir -p "$cache"
for name in get_pip_24_2.py get_pip_25_2.py; do
    if [ ! -e "$cache/$name" ]; then cp "$ROOT/scripts/get_pip.py" "$cache/$name"; fi
done

cd "$TREE"
export PATH=$WORK/bin:$ROOT/.venv/bin:$PATH
unset ANSIBLE_COLLECTIONS_PATH ANSIBLE_HOME PYTHONDONTWRITEBYTECODE
exec "$ROOT/.venv/bin/ansible-test" sanity --color no "$@"
