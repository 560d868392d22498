"""The command line. Each command is a thin call of one public function."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from cofire.cli.streams import STDOUT, drop_output, settle_streams
from cofire.errors import CofireError

_ROOM = "make room there, or give another place"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "allow larger files (ulimit -f), or give another place",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "give another place",
}


def main() -> NoReturn:
    """Run `cofire` and exit with the code that docs/cli.md gives; errors are one line on stderr."""
    settle_streams()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its fonts is no concern of the user's
    args = sys.argv[1:]
    debug = "--debug" in args
    sys.exit(run([arg for arg in args if arg != "--debug"], debug=debug))


def run(args: list[str], *, debug: bool = False) -> int:
    """Run one command line and return its exit code; with `debug` errors are raised with their trace."""
    from cofire.cli.app import app

    try:
        result = app(args, prog_name="cofire", standalone_mode=False)
        sys.stdout.flush()
    except CofireError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`cofire query ... | head`). Nothing more can be said on stdout.
        drop_output()
        return 0
    except SystemExit as end:
        # The option parser, too, ends the process when the reader goes away.
        if isinstance(end.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        if error.filename == STDOUT:
            drop_output()
        if debug:
            raise
        return _fail(_of_system(error), 2)
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


def _of_system(error: OSError) -> str:
    """Say what the system refused, and for which file."""
    if error.errno == errno.ENOENT and not _in_a_directory():
        return "the working directory was removed; go to one that exists"
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror or error}; {_ADVICE.get(error.errno or 0, 'check the path and its permissions')}"


def _in_a_directory() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _fail(message: str, code: int) -> int:
    from cofire.analysis.report.visible import visible_line

    sys.stderr.write(f"cofire: {visible_line(' '.join(message.split()))}\n")
    return code
