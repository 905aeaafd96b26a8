"""The `sidecar` command: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it has no types of its own
import pytest

from sidecar import __version__
from sidecar.arguments import build_parser
from sidecar.cli import FAILED, FOUND, OK, USAGE, main
from sidecar.core.reasons import ALL
from tests.certs import TestCA
from tests.configs import changed, small, text_of, without

Capture = pytest.CaptureFixture[str]


def write(folder: Path, data: object) -> str:
    path = folder / "sidecar.yaml"
    path.write_text(text_of(data))
    return str(path)


@pytest.fixture
def good(tmp_path: Path) -> Iterator[str]:
    """A configuration with nothing to be found."""
    TestCA("demo.local").leaf("spiffe://demo.local/web").write_folder(tmp_path / "certs")
    with socket.create_server(("127.0.0.1", 0)) as application:
        port = application.getsockname()[1]
        data = small(outbound=[], admin=None, health=None, identity={"dir": "certs"})
        data["inbound"][0] |= {"listen": "127.0.0.1:0", "forward": f"127.0.0.1:{port}"}
        yield write(tmp_path, data)


# --- usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "required: COMMAND"),
        (["runx"], "invalid choice: 'runx'"),
        (["run"], "required: --config"),
        (["run", "--conf", "x"], "required: --config"),
        (["check", "--config", "x", "--jsn"], "unrecognized arguments: --jsn"),
        (["explain"], "CODE --list is required"),
        (["explain", "MTLS-E999"], "there is no code or flag 'MTLS-E999'"),
        (["healthcheck", "--url", "ftp://x"], "'ftp://x' is not http://HOST"),
        (["healthcheck", "--url", "http://x", "--config", "x"], "not allowed with argument"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_a_hint(
    argv: list[str], says: str, capsys: Capture
) -> None:
    assert main(argv) == USAGE
    captured = capsys.readouterr()
    error, hint = captured.err.splitlines()
    assert error.startswith("sidecar: ")
    assert says in error
    assert not error.endswith(".")
    assert hint.startswith("hint: `sidecar ")
    assert captured.out == ""


COMMANDS = ["run", "check", "schema", "explain", "healthcheck", "version", "completion"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_text_and_examples(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == OK
    text = capsys.readouterr().out
    assert f"usage: sidecar {command}" in text
    assert f"examples:\n  sidecar {command}" in text


def test_every_example_can_be_typed(capsys: Capture) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        for line in re.findall(r"^  sidecar (.*)$", capsys.readouterr().out, re.MULTILINE):
            assert build_parser().parse_args(line.partition(" >")[0].split()).command == command


def test_help_lists_all_commands(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == OK
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+)", text, re.MULTILINE) == COMMANDS
    assert "3 a check found something" in text


# --- run ---------------------------------------------------------------------------------------


def test_run_refuses_a_bad_file_with_all_that_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    data = without("inbound.0.allow")
    data["identity"]["dirr"] = "x"
    path = write(tmp_path, data)
    assert main(["run", "--config", path]) == FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == f"sidecar: {path}:3: identity.dirr: this key is not known"
    assert lines[1] == "hint: did you mean `dir`?"
    assert lines[2].startswith(f"sidecar: {path}:5: inbound[0].allow: nobody is allowed")
    assert lines[3].startswith("hint: say who may connect: ")


def test_run_names_a_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", "--config", str(tmp_path / "none")]) == FAILED
    assert capsys.readouterr().err == f"sidecar: {tmp_path / 'none'}: no such file or directory\n"


# --- check -------------------------------------------------------------------------------------


def test_check_of_a_good_file(good: str, capsys: Capture) -> None:
    assert main(["check", "--config", good]) == OK
    captured = capsys.readouterr()
    assert captured.out == (
        f"{good}: ok for spiffe://demo.local/web: 1 inbound, 0 outbound, 0 errors, 0 warnings\n"
    )
    assert captured.err == ""


def test_check_of_a_bad_file(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, changed("inbound.0.forward", "10.0.0.1:80"))
    assert main(["check", "--config", path]) == FOUND
    first, hint, verdict = capsys.readouterr().out.splitlines()
    assert first.startswith(f"error    {path}:6: inbound[0].forward: 10.0.0.1:80 is not loopback")
    assert hint.startswith("         hint: use 127.0.0.1 or unix:/PATH")
    assert verdict == f"{path}: 1 error, 0 warnings"


def test_check_with_warnings_alone_is_ok(good: str, capsys: Capture) -> None:
    (Path(good).parent / "certs" / "tls.key").chmod(0o644)
    assert main(["check", "--config", good]) == OK
    assert "0 errors, 1 warning\n" in capsys.readouterr().out


def test_check_as_json(good: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", "--config", good, "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "spiffe_id": "spiffe://demo.local/web",
        "findings": [],
    }
    assert main(["check", "--config", str(tmp_path / "none"), "--json"]) == FOUND
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["findings"] == [
        {
            "severity": "error",
            "where": str(tmp_path / "none"),
            "message": "no such file or directory",
            "hint": "",
        }
    ]


def test_check_of_the_file_alone_needs_neither_identity_nor_network(
    tmp_path: Path, capsys: Capture
) -> None:
    path = write(tmp_path, small())
    assert main(["check", "--config", path, "--file-only"]) == OK
    assert capsys.readouterr().out == f"{path}: ok: 1 inbound, 1 outbound, 0 errors, 0 warnings\n"
    assert main(["check", "--config", path]) == FOUND


# --- what it knows about itself ----------------------------------------------------------------


def test_schema_prints_a_schema(capsys: Capture) -> None:
    assert main(["schema"]) == OK
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(small(), schema)


@pytest.mark.parametrize("word", ["MTLS-E201", "mtls-e201", "E201", "201"])
def test_explain_takes_a_code_as_people_write_it(word: str, capsys: Capture) -> None:
    assert main(["explain", word]) == OK
    text = capsys.readouterr().out
    assert text.startswith("MTLS-E201: no rule allows this identity here\n")
    assert "flag DENY" in text
    assert "HTTP status 403" in text
    assert "what helps: " in text


def test_explain_takes_a_flag(capsys: Capture) -> None:
    assert main(["explain", "deny", "--json"]) == OK
    codes = [reason["code"] for reason in json.loads(capsys.readouterr().out)]
    assert codes == [reason.code for reason in ALL.values() if reason.flag == "DENY"]


def test_explain_knows_every_code(capsys: Capture) -> None:
    for code, reason in ALL.items():
        assert main(["explain", code]) == OK
        text = capsys.readouterr().out
        assert reason.title in text
        assert reason.fix in text
    assert main(["explain", "--list"]) == OK
    assert re.findall(r"^MTLS-E\d+", capsys.readouterr().out, re.MULTILINE) == list(ALL)


def test_version(capsys: Capture) -> None:
    assert main(["version", "--json"]) == OK
    versions = json.loads(capsys.readouterr().out)
    assert versions["sidecar"] == __version__
    assert set(versions) == {"sidecar", "python", "openssl", "uvloop", "compiled"}
    assert versions["compiled"] in {"yes", "no"}
    assert main(["version"]) == OK
    assert capsys.readouterr().out.startswith(f"sidecar {__version__}\npython 3.")


# --- completion --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_prints_a_script_that_the_shell_can_read(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == OK
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command in script
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_files(tmp_path: Path, capsys: Capture) -> None:
    assert main(["completion", "bash"]) == OK
    script = capsys.readouterr().out
    (tmp_path / "sidecar.yaml").touch()

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("sidecar", *words))
        code = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; COMP_LINE=x\n"
        code += "_shtab_sidecar; printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(
            ["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert completed("ch") == ["check"]
    assert "--file-only" in completed("check", "--f")
    assert completed("run", "--config", "side") == ["sidecar.yaml"]
    assert completed("completion", "z") == ["zsh"]


# --- as a process ------------------------------------------------------------------------------


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "sidecar", "explain", "x"], capture_output=True)
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr.startswith(b"sidecar: there is no code or flag 'x'\nhint: ")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m sidecar schema | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    assert (done.returncode, done.stderr) == (OK, b"")
