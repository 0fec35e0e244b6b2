"""The commands of the installed package: `posynda lift FILE`, `posynda check [DIR]`,
`posynda sample --out DIR`."""

import sys

from .errors import InputError, run_script

COMMANDS = ("check", "lift", "sample")


def main() -> None:
    """Hand the words after the command's name to it."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        raise InputError(f"posynda {command}: expected one of {', '.join(COMMANDS)}; each has --help")
    sys.argv = [f"posynda {command}", *sys.argv[2:]]
    if command == "check":
        from .run import check

        check.main()
    elif command == "lift":
        from .run import footage

        footage.main()
    else:
        from .sample import __main__ as sample

        sample.main()


def cli() -> None:
    """The entry point."""
    run_script(main)


if __name__ == "__main__":
    cli()
