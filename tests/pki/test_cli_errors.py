"""Every mistake gets one sentence, the next command, and the right exit code."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pki import arguments
from pki.arguments import subcommands
from pki.authority import REASONS
from pki.cli import main
from pki.commands import completion
from pki.keys import KeyType
from pki.lint import Role
from pki.parser import build_parser
from pki.verify import Purpose
from tests.pki.terminal import WEB, Pki

MISTAKES: list[tuple[tuple[str, ...], str, str]] = [
    ((), "the following arguments are required: COMMAND", "pki --help"),
    (("issu",), "there is no command 'issu'", "did you mean `pki issue`?"),
    (("log", "verif"), "there is no command 'log verif'", "did you mean `pki log verify`?"),
    (("xyzzy",), "there is no command 'xyzzy'", "`pki --help` shows what there is"),
    (("a\x1b[2Jb",), r"there is no command 'a\x1b[2Jb'", "pki --help"),
    (("log",), "the following arguments are required: COMMAND", "pki log --help"),
    (("ls",), "the following arguments are required: --dir", "pki ls --help"),
    (("ls", "--dir", "x", "--expirng", "7d"), "--expirng is not known", "did you mean --expiring?"),
    (("ls", "--dir", "x", "--exp", "7d"), "--exp is not known here", "did you mean --expiring?"),
    (("ls", "--dir", "x", "y"), "y is not known here", "pki ls --help"),
    (("ls", "--dir", "x", "--expiring", "7"), "'7' is not a duration", "pki ls --help"),
    (("ls", "--dir", "x", "--limit", "0"), "'0' is not a number from 1 to 10000", ""),
    (("ls", "--dir", "x", "--limit", "10001"), "not a number from 1 to 10000", ""),
    (("ls", "--dir", "x", "--limit", "\u0661"), "not a number from 1 to 10000", ""),
    (("issue", "--spiffe-id", "x"), "'x' does not start with spiffe://", "pki issue --help"),
    (("issue", "--ip", "300.1.1.1"), "'300.1.1.1' is not an IP address", "pki issue --help"),
    (("init", "--trust-domain", "Demo"), "'Demo' is not a trust domain", "pki init --help"),
    (("log", "verify", "--head", "x"), "'x' is not the hash of a record", "pki log verify --help"),
    (("completion", "fish"), "invalid choice: 'fish'", "pki completion --help"),
]


@pytest.mark.parametrize(("words", "message", "hint"), MISTAKES)
def test_wrong_usage_is_2_and_says_what_would_be_right(
    bare: Pki, words: tuple[str, ...], message: str, hint: str
) -> None:
    done = bare.run(*words)
    assert (done.code, done.out) == (2, "")
    first, *rest = done.err.splitlines()
    assert first.startswith("pki: ")
    assert message in first
    assert not first.endswith(".")
    assert hint in "\n".join(line.removeprefix("hint: ") for line in rest)
    assert all(line.isprintable() for line in (first, *rest))


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "--dir"),
        ("bundle", "--dir"),
        ("crl", "--dir"),
        ("log", "verify", "--dir"),
        ("rotate", "--dir"),
        ("revoke", "00", "--dir"),
        ("renew", "00", "--out", "x", "--dir"),
        ("issue", "--spiffe-id", WEB, "--out", "x", "--dir"),
    ],
)
def test_where_there_is_no_ca_every_command_says_how_to_make_one(
    bare: Pki, words: tuple[str, ...]
) -> None:
    done = bare.run(*words, bare.path("nowhere"))
    assert done.code == 1
    assert "pki init" in done.err
    assert not Path(bare.path("nowhere")).exists()


def test_an_unknown_serial_points_to_the_list(pki: Pki) -> None:
    for command in (("revoke",), ("renew", "--out", pki.path("x"))):
        done = pki.run(*command, "--dir", pki.ca, "1234")
        assert done.code == 1
        assert "pki ls" in done.err


def test_errors_are_one_json_object_on_stderr_where_json_was_asked_for(bare: Pki) -> None:
    usage = bare.run("ls", "--json")
    failed = bare.run("ls", "--dir", bare.path("x"), "--json")
    for done, code in ((usage, 2), (failed, 1)):
        value = json.loads(done.err)
        assert set(value) == {"error", "hints", "exit_code"}
        assert value["exit_code"] == done.code == code
        assert value["hints"]
        assert done.out == ""


def test_the_end_of_input_and_ctrl_c_are_no_tracebacks(bare: Pki) -> None:
    def raised(error: BaseException) -> int:
        class Keyboard(Pki):
            def _asker(self, answers: object) -> object:
                def ask(_: str) -> str:
                    raise error

                return ask

        terminal = Keyboard(bare.home)
        words = ("init", "--dir", bare.ca, "--trust-domain", "demo.local", "--passphrase")
        return terminal.run(*words, typed=[]).code

    assert raised(EOFError()) == 1
    assert raised(KeyboardInterrupt()) == 130


def test_the_words_of_the_parser_are_those_of_the_library() -> None:
    assert tuple(KeyType) == arguments.KEY_TYPES
    assert arguments.REASONS == REASONS
    assert set(arguments.ROLES) == set(Role)
    assert set(arguments.PURPOSES) == set(Purpose)


def every_command() -> list[list[str]]:
    found = []
    for name, command in subcommands(build_parser()).items():
        found += [[name, inner] for inner in subcommands(command)] or [[name]]
    return found


@pytest.mark.parametrize("words", every_command())
def test_help_is_complete_and_has_examples_that_parse(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    examples = text.partition("examples:")[2]
    lines = [line.strip() for line in examples.replace("\\\n", "").splitlines()]
    commands = [line for line in lines if line.startswith("pki ")]
    assert commands
    for line in commands:
        shell_free = line.split(" | ")[0].split(" > ")[0].split(" < ")[0].split(" && ")[0]
        typed = shlex.split(shell_free.replace("$HEAD", "0" * 64))[1:]
        assert build_parser().parse_args(typed).run


@pytest.mark.parametrize("words", every_command())
def test_every_command_exists(words: list[str]) -> None:
    parser = build_parser()
    for word in words:
        parser = subcommands(parser)[word]
    module, _, function = parser.get_default("run").partition(":")
    __import__(f"pki.commands.{module}")
    assert callable(getattr(sys.modules[f"pki.commands.{module}"], function))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_options_and_values(bare: Pki, shell: str) -> None:
    script = bare.ok("completion", shell).out
    for word in ("issue", "--spiffe-id", "ed25519", "keyCompromise", "k8s-secret"):
        assert word in script
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_parser_loads_nothing_heavy() -> None:
    """What `--help` and a mistyped command pay for."""
    code = (
        "import sys, pki.cli, pki.parser; pki.parser.build_parser();"
        "print(*(m for m in ('cryptography', 'shtab', 'asyncio') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")
    assert completion.__doc__  # the twin: this one does load shtab
    assert "shtab" in sys.modules
