"""What a command works on: the application it can find, or a bare log."""

import ast
import contextlib
import importlib
import os
import sys
import tomllib
import traceback
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import ModuleType

import msgspec

from tidings import App
from tidings.address import redacted
from tidings.brokers import Broker, connect
from tidings.brokers.connect import SCHEMES
from tidings.errors import ConfigurationError, TidingsError
from tidings.log import Log, look_into, open_log
from tidings.log.open import is_log
from tidings.log.sqlite.inspection import path_of

APP_VARIABLE = "TIDINGS_APP"
VARIABLES = ("TIDINGS_URL", "TIDINGS_LOG", "TIDINGS_BROKER")


class Target(msgspec.Struct, frozen=True):
    """An application with the name it is found by, or only the URL of a log."""

    app: App | None
    name: str | None  # module:attr
    url: str

    @property
    def is_broker(self) -> bool:
        """Is there no log, so that its events are at a broker?"""
        return not is_log(self.url) or (self.app is not None and self.app.log_url is None)

    @property
    def direct(self) -> tuple[str, ...]:
        """The groups that hear the broker directly, where others hear the log."""
        if self.app is None or self.is_broker or self.app.broker_url is None:
            return ()
        return tuple(each.name for each in self.app.subscriptions if each.direct and not each.broadcast)

    @property
    def at_broker(self) -> "Target":
        """The same application as its direct handlers see it: at its broker."""
        assert self.app is not None
        assert self.app.broker_url is not None
        return msgspec.structs.replace(self, url=self.app.broker_url)

    @contextlib.asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """The broker of what has no log, or is looked at as if it had none.

        Raises:
            ConfigurationError, MissingExtra: the URL is none of a broker, or its library is not there.
        """
        broker = await connect(self.url, channels=None if self.app is None else self.app.channels)
        try:
            yield broker
        finally:
            await broker.close()

    @contextlib.asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """The log, open.

        Raises:
            ConfigurationError: there is none, or none that two processes could share.
        """
        self._check_has_log()
        if self.url.startswith("memory:"):
            raise ConfigurationError(
                "a log in memory lives inside its own process, where no command can see it: give the application one"
                " on disk, as in App(name, 'sqlite:///app.db')"
            )
        async with _closed_after(await open_log(self.url)) as log:
            yield log

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[Log]:
        """The log, open to be read only, for commands that look: nothing is made, and nothing changed.

        Raises:
            ConfigurationError: there is none.
        """
        self._check_has_log()
        async with _closed_after(await look_into(self.url)) as log:
            yield log

    def _check_has_log(self) -> None:
        if self.app is not None and self.app.log_url is None:
            raise ConfigurationError(
                f"{self.name} has no log, which this needs: its events are at {redacted(self.url)}; give it log=..., or"
                " look with 'tidings groups', 'dead' and 'tail', which know brokers too"
            )
        if self.app is None and self.url.partition(":")[0] in SCHEMES:
            raise ConfigurationError(
                f"{redacted(self.url)} is a broker, and this needs a log: give the URL of one, or look with 'tidings"
                " groups', 'dead' and 'tail', which know brokers too"
            )


@contextlib.asynccontextmanager
async def _closed_after(log: Log) -> AsyncIterator[Log]:
    try:
        yield log
    finally:
        await log.close()


def find(app: str | None = None, url: str | None = None) -> Target:
    """The application or log that is meant, looked for in the order of the documentation.

    Raises:
        ConfigurationError: nothing was found, and where it was looked for; or it cannot be loaded.
    """
    if app is not None and url is not None:
        raise ConfigurationError("--app and --url are both given: the application knows its own log, leave one out")
    if app is not None:
        return load(app)
    if url is not None:
        return _bare(url)
    if value := os.environ.get(APP_VARIABLE):
        return load(value)
    for variable in VARIABLES:
        if value := os.environ.get(variable):
            return _bare(value)
    if name := configured():
        return load(name)
    return load(_only_app_here())


def find_app(app: str | None = None, url: str | None = None) -> tuple[App, str]:
    """As `find`, for commands that a bare log is not enough for; the application and its name."""
    target = find(app, url)
    if target.app is None or target.name is None:
        raise ConfigurationError(f"{redacted(target.url)} has no application: name one, as in --app shop:app")
    return target.app, target.name


def load(name: str) -> Target:
    """The application called `module:attr`; or `module`, when there is one App in it.

    Raises:
        ConfigurationError: it is not there, or its module cannot be imported.
    """
    module_name, attribute = _parts(name)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _imported(module_name, name)
    if not attribute:
        return _only_app(module_name, vars(module))
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        apps = ", ".join(f"{module_name}:{name}" for name, value in vars(module).items() if isinstance(value, App))
        what = f"{module_name}:{attribute}"
        raise ConfigurationError(f"{what} is no App: {f'{module_name} has {apps}' if apps else 'it has none'}")
    return _target(found, module_name, attribute)


def _parts(name: str) -> tuple[str, str]:
    """Module and attribute of `shop:app`, `shop`, `./shop.py` or `services/shop.py:app`.

    Raises:
        ConfigurationError: it lies elsewhere.
    """
    place, _, attribute = name.partition(":")
    if place.startswith("/") or ".." in place:
        raise ConfigurationError(
            f"{name} cannot be imported from here: go to the folder that holds it, and name the module, as in shop:app"
        )
    if not place:
        raise ConfigurationError(f"{name!r} names no application: write its module and its name there, as in shop:app")
    if "/" in place or place.endswith(".py"):
        place = place.removeprefix("./").removesuffix("/").removesuffix(".py").replace("/", ".")
    return place, attribute


def _imported(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except TidingsError:
        raise
    except Exception as error:
        advice = "correct it, or the name; --debug shows how it came to that"
        if isinstance(error, ModuleNotFoundError) and module.startswith(f"{error.name}."):
            raise ConfigurationError(f"there is no module {error.name!r} in {Path.cwd()}: correct the name") from None
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise ConfigurationError(_no_module(module)) from None
        raise ConfigurationError(
            f"{module} could not be imported ({type(error).__name__}: {error}{_line_of(error)}): {advice}"
        ) from error


def _line_of(error: Exception) -> str:
    """The last line that failed in a file of the user's below here; a syntax error tells it itself."""
    if isinstance(error, SyntaxError):
        return ""
    files = [(Path(each.filename), each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    lines = [
        (file.relative_to(Path.cwd()), line)
        for file, line in files
        if file.is_relative_to(Path.cwd()) and not file.is_relative_to(sys.prefix)
    ]
    return f", in {lines[-1][0]}, line {lines[-1][1]}" if lines else ""


def _no_module(module: str) -> str:
    above, _, last = module.rpartition(".")
    here = _apps_here()
    meant = f"{above}:{last}" if f"{above}:{last}" in here else ", ".join(here)
    advice = f"did you mean {meant}?" if meant else "go to the folder that holds it, or correct the name"
    return f"there is no module {module!r} in {Path.cwd()}: {advice}"


def configured() -> str | None:
    """The application that pyproject.toml here names.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        settings = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigurationError(f"pyproject.toml cannot be read: {error}") from error
    name = settings.get("tool", {}).get("tidings", {}).get("app")
    return str(name) if name else None


def _url_of(app: App) -> str:
    """Where its events are: its log, or the broker of an application without one."""
    return app.log_url or app.broker_url or "memory:"


def _bare(url: str) -> Target:
    path = path_of(url)
    if path is not None and not path.exists():  # a misspelt URL shall make no new file
        raise ConfigurationError(f"no such log: {url}; check the path, which starts at {Path.cwd()}")
    return Target(None, None, url)


def _only_app(module: str, members: dict[str, object]) -> Target:
    found = {name: value for name, value in members.items() if isinstance(value, App)}
    if len({id(app) for app in found.values()}) != 1:
        named = f"it has {', '.join(found)}" if found else "it has none"
        raise ConfigurationError(f"which App of {module} is meant? {named}: name one, as in {module}:app")
    name, app = next(iter(found.items()))
    return _target(app, module, name)


def _target(app: App, module: str, attribute: str) -> Target:
    """The application, which knows from here on what its own module says of events, handled or not."""
    app.speak(sys.modules[module])
    return Target(app, f"{module}:{attribute}", _url_of(app))


def _only_app_here() -> str:
    found = _apps_here()
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(
            f"there are {len(found)} applications here, {', '.join(found)}: say which is meant, by --app {found[0]}, by"
            f' {APP_VARIABLE}={found[0]}, or by [tool.tidings] app = "{found[0]}" in pyproject.toml'
        )
    raise ConfigurationError(
        f"no application was found: tried --app and --url (not given), {', '.join((APP_VARIABLE, *VARIABLES))} (not"
        f" set), [tool.tidings] app in pyproject.toml"
        f" ({'not there' if Path('pyproject.toml').exists() else 'no such file'}) and ./*.py, which has no App in"
        f" {Path.cwd()}; name one, as in --app shop:app"
    )


def _apps_here() -> list[str]:
    """Names of the Apps made at the top of the files here, read without running any of them."""
    return [
        f"{path.stem}:{name}"
        for path in sorted(Path().glob("*.py"))
        if path.stem.isidentifier()
        for name in _apps_in(path)
    ]


def _apps_in(path: Path) -> Iterable[str]:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError):
        return
    if not any(_imports_tidings(node) for node in tree.body):
        return
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and _called(value) == "App":
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _imports_tidings(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] == "tidings"
    return isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == "tidings" for alias in node.names)


def _called(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
