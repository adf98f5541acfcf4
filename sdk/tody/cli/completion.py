"""tody completion: a script that lets a shell complete commands and options, made from the parser itself."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from .output import Output

NAME = "completion"
HELP = "print a completion script for a shell"
_USE = {
    "bash": 'eval "$(tody completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(tody completion zsh)" in ~/.zshrc, after compinit',
    "fish": "tody completion fish > ~/.config/fish/completions/tody.fish",
}


@dataclass(frozen=True)
class Verb:
    """A command: its help, its options (text, help, choices), and the words its positional arguments may be."""

    name: str
    help: str
    options: tuple[tuple[str, str, tuple[str, ...]], ...]
    words: tuple[str, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=list(_USE), help="; ".join(f"{shell}: put {use}" for shell, use in _USE.items()))


def _verbs(parser: argparse.ArgumentParser) -> list[Verb]:
    """The parser's tree, flattened to two levels: a verb has the options of all its parts."""
    verbs = []
    (sub,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in sub._choices_actions}
    for name, child in sub.choices.items():
        options: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        words: list[str] = []
        for action in _actions(child):
            choices = tuple(str(c) for c in action.choices or ())
            if action.option_strings:
                option = action.option_strings[-1]
                options.setdefault(option, (option, action.help or "", choices))
            else:
                words += choices
        verbs.append(Verb(name, helps.get(name, ""), tuple(options.values()), tuple(words)))
    return verbs


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of a parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from _actions(part)


def bash(verbs: list[Verb]) -> str:
    """Words for `compgen`; files where a word is none of ours."""
    cases = []
    for verb in verbs:
        for option, _, choices in verb.options:
            if choices:
                cases.append(f'    {verb.name}:{option}) words="{" ".join(choices)}" ;;')
        cases.append(f'    {verb.name}:*) words="{" ".join([o for o, _, _ in verb.options] + list(verb.words))}" ;;')
    names = " ".join(v.name for v in verbs)
    return "\n".join(
        [
            "_tody() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" words',
            '  case "$COMP_CWORD:${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]}" in',
            f'    1:*) words="{names} --help --version --json" ;;',
            *(c.replace("    ", "    *:", 1) for c in cases),
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
            "}",
            "complete -o default -F _tody tody",
        ]
    )


def zsh(verbs: list[Verb]) -> str:
    """zsh runs bash's function through its own adapter."""
    return "autoload -U +X bashcompinit && bashcompinit\n" + bash(verbs)


def fish(verbs: list[Verb]) -> str:
    """One `complete` line for each command and option."""
    lines = []
    for verb in verbs:
        lines.append(f"complete -c tody -n __fish_use_subcommand -f -a {verb.name} -d {shlex.quote(verb.help)}")
        seen = f"-n '__fish_seen_subcommand_from {verb.name}'"
        for option, text, choices in verb.options:
            values = f" -x -a {shlex.quote(' '.join(choices))}" if choices else ""
            lines.append(f"complete -c tody {seen} -l {option.lstrip('-')}{values} -d {shlex.quote(text)}")
        if verb.words:
            lines.append(f"complete -c tody {seen} -a {shlex.quote(' '.join(verb.words))}")
    return "\n".join(lines)


def run(args: argparse.Namespace, out: Output) -> int:
    from .main import build_parser

    script = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell](_verbs(build_parser()))
    out.line(script)
    out.data({"shell": args.shell, "script": script, "use": _USE[args.shell]})
    return 0
