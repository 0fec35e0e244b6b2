"""How the scripts tell a user that the input is wrong."""

import os
import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one plain line: what is wrong, where, what was expected, what was found, how to mend it.
    """


CLOSED_PIPE = 141  # what a shell says of a program that SIGPIPE ended


def run_script(main: Callable[[], None], finish: Callable[[int], None] | None = None, stopped: str = "stopped") -> None:
    """Run a script's `main`: an `InputError` becomes one line on stderr and exit code 2, Ctrl-C exit code 130.

    Where nobody reads the output to its end, as with `| head`, the script stops without a word, with exit code 141.

    Of several processes of torchrun, which are given the same input, the first one speaks.

    Args:
        finish: is called at the end with the exit code, unless an unforeseen error ends the script.
        stopped: what Ctrl-C is answered with.
    """
    code = 0
    speaks = os.environ.get("RANK", "0") == "0"
    try:
        main()
    except InputError as error:
        if speaks:
            print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = CLOSED_PIPE
    finally:
        if not _flushed() and code == 0:
            code = CLOSED_PIPE
    if finish is not None:
        finish(code)
    if code:
        sys.exit(code)


def _flushed() -> bool:
    """Whether what was printed could be written; what could not is dropped, or Python complains of it when it ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
