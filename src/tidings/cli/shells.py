"""The scripts with which bash, zsh and fish complete `tidings`, and where each is installed."""

from pathlib import Path

from tidings.errors import ConfigurationError

VARIABLE = "_TIDINGS_COMPLETE"  # set by the scripts: the call is then a question of the shell
_SHELLS = ("bash", "zsh", "fish")
_BASH = """
_tidings_completion() {
    local line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##*[[:space:]]}"
    local -a before
    read -ra before <<< "${line%"$word"}"
    local IFS=$'\\n'
    COMPREPLY=( $( COMP_WORDS="$line" COMP_CWORD=${#before[@]} _TIDINGS_COMPLETE=complete_bash "$1" ) )
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then  # bash takes what follows a colon for a word of its own
        COMPREPLY=( "${COMPREPLY[@]#"${word%%"${word##*:}"}"}" )
    fi
}
complete -o default -F _tidings_completion tidings
"""


def arrange(option: str, shell: str | None = None, *more: str) -> int:
    """Do what `--show-completion` and `--install-completion` ask for; the exit code.

    Raises:
        ConfigurationError: the shell is not one of those known here, or cannot be told.
    """
    shell = shell or _shell_here()
    if shell not in _SHELLS or more:
        raise ConfigurationError(f"completion is for {', '.join(_SHELLS)}: name one of them, as in {option} bash")
    if option == "--show-completion":
        print(script(shell))
    else:
        print(f"Completion for {shell} is installed in {install(shell)}: it begins with the next terminal.")
    return 0


def script(shell: str) -> str:
    """What the shell has to read."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # typer exports it nowhere

    if shell == "bash":  # typer's loses names with a colon
        return _BASH.strip()
    return str(get_completion_script(prog_name="tidings", complete_var=VARIABLE, shell=shell))


def install(shell: str) -> Path:
    """Have every new shell of the user read it; where it was put."""
    from typer.completion import install  # type: ignore[attr-defined]  # typer exports it nowhere

    if shell != "bash":
        return Path(install(shell=shell, prog_name="tidings", complete_var=VARIABLE)[1])
    path = Path.home() / ".bash_completions" / "tidings.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{script(shell)}\n", "utf-8")
    settings, line = Path.home() / ".bashrc", f"source '{path}'"
    present = settings.read_text("utf-8") if settings.exists() else ""
    if line not in present.splitlines():
        settings.write_text(f"{present.rstrip()}\n{line}\n".lstrip(), "utf-8")
    return path


def _shell_here() -> str | None:
    import shellingham  # type: ignore[import-untyped]  # it comes with typer

    try:
        return str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        return None
