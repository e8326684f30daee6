#!/usr/bin/env python3
"""Check that every crate in the build may be used under the licences that deny.toml allows.

For machines without cargo-deny: reads the same list of allowed licences.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")


def allowed_by(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with allowed licences alone. OR binds the loosest,
    then AND, then WITH; the old spelling MIT/Apache-2.0 means OR."""
    tokens = TOKEN.findall(expression.replace("/", " OR "))

    def take() -> str:
        if not tokens:
            raise ValueError(f"cannot read licence {expression!r}")
        return tokens.pop(0)

    def term() -> bool:
        word = take()
        if word == "(":
            met = either()
            if take() != ")":
                raise ValueError(f"cannot read licence {expression!r}")
            return met
        if tokens and tokens[0] == "WITH":
            take()
            word += f" WITH {take()}"
        return word in allowed

    def both() -> bool:
        met = term()
        while tokens and tokens[0] == "AND":
            take()
            met = term() and met
        return met

    def either() -> bool:
        met = both()
        while tokens and tokens[0] == "OR":
            take()
            met = both() or met
        return met

    met = either()
    if tokens:
        raise ValueError(f"cannot read licence {expression!r}")
    return met


def main() -> None:
    rules = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))["licenses"]
    allowed = set(rules["allow"])
    told = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"],
        cwd=ROOT, capture_output=True, text=True)
    if told.returncode != 0:
        sys.exit(told.stderr)
    crates = json.loads(told.stdout)["packages"]
    bad = []
    for crate in crates:
        licence = crate["license"]
        try:
            if not licence:
                bad.append((crate, "names no licence"))
            elif not allowed_by(licence, allowed):
                bad.append((crate, f"{licence} is not among the allowed licences"))
        except ValueError as error:
            bad.append((crate, str(error)))
    for crate, why in bad:
        print(f"{crate['name']} {crate['version']}: {why}", file=sys.stderr)
    if bad:
        sys.exit(1)
    print(f"licences of {len(crates)} crates: allowed")


if __name__ == "__main__":
    main()
