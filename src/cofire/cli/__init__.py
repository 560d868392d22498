"""The command line. Each command is a thin call of one public function."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cofire.errors import CofireError


def main() -> NoReturn:
    """Run `cofire` and exit with the code that docs/cli.md gives; errors are one line on stderr."""
    args = sys.argv[1:]
    debug = "--debug" in args
    sys.exit(run([arg for arg in args if arg != "--debug"], debug=debug))


def run(args: list[str], *, debug: bool = False) -> int:
    """Run one command line and return its exit code; with `debug` errors are raised with their trace."""
    from cofire.cli.app import app

    try:
        result = app(args, prog_name="cofire", standalone_mode=False)
    except CofireError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`cofire query ... | head`). Nothing more can be said on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:
        # The option parser, too, ends the process when the reader goes away.
        if isinstance(end.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}; check the path, its permissions and the free space", 2)
    except Exception as error:
        # What the option parser raises has format_message; its class is private to the installed typer.
        if hasattr(error, "format_message"):
            return _fail(f"{error.format_message()} See `cofire --help`.", 2)
        if debug:
            raise
        return _fail(f"a fault of cofire: {type(error).__name__}: {error}; run again with --debug and report it", 1)
    if result == 130:
        return _fail("interrupted; what was done stays, and the same command can be given again", 130)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"cofire: {' '.join(message.split())}\n")
    return code
