"""Settings: flags, then environment, then `cofire.toml` in the working directory, then the defaults.

Each is declared where it is used, as a field of a dataclass (`cofire.common.settings`); the groups are listed below.
Environment variables are `COFIRE_` and the setting's name in capitals (`COFIRE_STORE`, `COFIRE_MEMORY`); the database
credentials have the names that Neo4j's own tools use.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from cofire.analysis.analyses import ANALYSES
from cofire.common.settings import Setting, setting, settings_in
from cofire.errors import InputError
from cofire.ingest.edges.settings import CountSettings
from cofire.ingest.pairs.engine import Engine

if TYPE_CHECKING:
    from pydantic import SecretStr
    from pydantic_settings import BaseSettings

TOML_FILE = "cofire.toml"
_CREDENTIALS = ("username", "password", "database")
Group = TypeVar("Group")


@dataclass(frozen=True)
class StoreSettings:
    """Which store, and how it is asked."""

    store: str = setting("./cofire-store", "directory (embedded) or bolt://, neo4j://, neo4j+s:// URL")
    queries: str | None = setting(None, "folder of query files of your own, besides the library")
    timeout: float | None = setting(None, "seconds that one answer of a store may take", gt=0, le=1e9)


@dataclass(frozen=True)
class LoadSettings:
    """What is loaded."""

    decoders: bool = setting(True, "load the decoder directions of SAEs that have weights")


GROUPS: tuple[type, ...] = (
    StoreSettings,
    LoadSettings,
    CountSettings,
    Engine,
    *(analysis.settings for analysis in ANALYSES),
)


@dataclass(frozen=True)
class Settings:
    """What flags, environment and file say.

    Attributes:
        given: values by name, of the settings that some source gives.
        username: of a Neo4j server.
        password: its password, not shown when printed.
        database: which of its databases.
    """

    given: Mapping[str, Any]
    username: str | None = None
    password: SecretStr | None = None
    database: str | None = None

    def of(self, group: type[Group], last: Mapping[str, Any] | None = None) -> Group:
        """Return the settings of a group, each as given, else as `last` has it, else its default.

        Args:
            group: a dataclass of settings.
            last: what was recorded when the group was last used; what else it holds does not matter.
        """
        known = {**(last or {}), **self.given}
        return group(**{name: known[name] for name in settings_in(group) if name in known})


def all_settings() -> dict[str, Setting]:
    """Return every setting but the credentials, by name."""
    return {name: declared for group in GROUPS for name, declared in settings_in(group).items()}


def load_settings(**flags: Any) -> Settings:
    """Return the settings; a flag that is None counts as not given.

    Raises:
        InputError: a value is out of range or of the wrong type, `cofire.toml` has an unknown name or is not TOML.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in flags.items() if value is not None}
    if "store" not in given and os.environ.get("COFIRE_STORE", "?") == "":
        # Set and empty is a mistake in a script; another store than the meant one must not take its place.
        given["store"] = ""
    try:
        read = _sources()(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = f"--{name.replace('_', '-')}" if name in given else f"COFIRE_{name.upper()} or {TOML_FILE}"
        # Of a setting that may be one thing or another there is a complaint for each.
        said = [one["msg"] for one in error.errors() if one["loc"][:1] == first["loc"][:1]]
        raise InputError(f"setting {name} ({where}): {', or '.join(said)}; correct it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{TOML_FILE} is not valid TOML: {error}; correct it") from error
    values = {name: getattr(read, name) for name in read.model_fields_set}
    return Settings({name: values[name] for name in all_settings() if name in values}, *map(values.get, _CREDENTIALS))


@cache
def _sources() -> type[BaseSettings]:
    """Return the pydantic model that reads and checks all settings."""
    from pydantic import Field, SecretStr, create_model
    from pydantic_settings import (
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        TomlConfigSettingsSource,
    )

    class Sources(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix="COFIRE_", toml_file=TOML_FILE, extra="forbid", populate_by_name=True, env_ignore_empty=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    secret = {"password": SecretStr | None}
    fields: dict[str, Any] = {
        name: (secret.get(name, str | None), Field(default=None, validation_alias=f"NEO4J_{name.upper()}"))
        for name in _CREDENTIALS
    }
    fields |= {
        name: (_checked(declared), Field(default=declared.default, description=declared.help))
        for name, declared in all_settings().items()
    }
    return create_model("Settings", __base__=Sources, **fields)


def _checked(declared: Setting) -> Any:
    """Return the type of a setting with its bounds, for pydantic."""
    from pydantic import ByteSize, Field

    def bounded(kind: Any) -> Any:
        if get_origin(kind) in (Union, UnionType):
            return Union[tuple(map(bounded, get_args(kind)))]  # noqa: UP007 - made of a tuple
        numbers = kind in (int, float) and declared.bounds
        return Annotated[kind, Field(**declared.bounds)] if numbers else kind

    if declared.size:
        return Annotated[ByteSize, Field(**declared.bounds)]
    return bounded(declared.type)
