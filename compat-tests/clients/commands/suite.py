"""A suite of commands: its chapters walked one after the other, and in the end each command of the client accounted for."""

import os
import shutil
import tempfile

from cast import Cast
from shell import Shell


def run(noun, groups, chapters, left_out, clouds_file, *asked):
    """Walks all chapters, or those asked for. Returns the exit code."""
    folder = tempfile.mkdtemp(prefix=f"gapura-{noun}-commands.")
    mine = os.path.join(folder, "clouds.yaml")
    shutil.copy(clouds_file, mine)
    os.chmod(mine, 0o600)
    shell = Shell(mine, groups)
    try:
        for name in asked or chapters:
            shell.chapter(name, chapters[name].walk, Cast(shell, mine))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not asked:
        account_for(shell, noun, left_out)
    return shell.finish()


def account_for(shell, noun, left_out):
    """Claims that each command the client has was run or is left out, and that none is both."""
    print(f"\n== every {noun} command", flush=True)
    ran = 0
    for command in shell.known:
        reason = next((reason for start, reason in left_out.items() if f"{command} ".startswith(f"{start} ")), None)
        ran += command in shell.met
        shell.claim(f"{command} was run, or is left out for a reason", (command in shell.met) != bool(reason), reason or "it was not run")
    print(f"{ran} of {len(shell.known)} {noun} commands were run", flush=True)
