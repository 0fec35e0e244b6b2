"""How the scripts end: with one line for a user's mistake, quietly where nobody reads on."""

import subprocess
import sys

import pytest
from scripts import ROOT

from common.errors import CLOSED_PIPE, InputError, run_script

PRINTING = "from common.errors import run_script\nrun_script(lambda: [print('x' * 80) for _ in range({})])"


@pytest.mark.parametrize("lines", [1, 100_000], ids=["in the buffer", "more than a pipe holds"])
def test_a_closed_pipe_ends_a_script_without_a_word(lines):
    command = [sys.executable, "-c", PRINTING.format(lines)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    running.stdout.close()
    assert running.stderr.read() == b"" and running.wait() == CLOSED_PIPE


def test_what_is_printed_arrives_whole():
    done = subprocess.run([sys.executable, "-c", PRINTING.format(1000)], capture_output=True, cwd=ROOT)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1000


def test_an_input_error_is_one_line(capsys):
    def main():
        raise InputError("a.json: no such file")

    with pytest.raises(SystemExit) as caught:
        run_script(main)
    assert caught.value.code == 2 and capsys.readouterr().err == "error: a.json: no such file\n"
