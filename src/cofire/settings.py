"""Settings: flags, then environment, then `cofire.toml` in the working directory, then the defaults below.

Environment variables are `COFIRE_` and the setting's name in capitals (`COFIRE_STORE`, `COFIRE_MEMORY`); the database
credentials have the names that Neo4j's own tools use.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from cofire.errors import InputError

TOML_FILE = "cofire.toml"


class Settings(BaseSettings):
    """Every setting with its default. Make one with `load_settings`, which turns bad values into one line."""

    model_config = SettingsConfigDict(
        env_prefix="COFIRE_", toml_file=TOML_FILE, extra="forbid", populate_by_name=True, env_ignore_empty=True
    )

    store: str = Field(default="./cofire-store", description="directory (embedded) or bolt://, neo4j:// URL")
    username: str | None = Field(default=None, validation_alias="NEO4J_USERNAME")
    password: SecretStr | None = Field(default=None, validation_alias="NEO4J_PASSWORD")
    database: str | None = Field(default=None, validation_alias="NEO4J_DATABASE")
    queries: str | None = Field(default=None, description="folder of query files of one's own")
    timeout: float | None = Field(default=None, gt=0, le=1e9, description="seconds that one answer of a store may take")
    memory: ByteSize = Field(default=ByteSize(2 * 1024**3), ge=16 * 1024**2, description="bound on the counters")
    min_count: int = Field(default=20, ge=1, description="fewest joint firings of a kept edge")
    min_log_odds: float = Field(default=1.0, ge=-100, le=100, description="least log odds of a kept edge")
    fdr: float = Field(default=0.01, gt=0, lt=1, description="false discovery rate of the edges (Benjamini-Hochberg)")
    weak: bool = Field(default=False, description="keep the pairs that pass only with firings below the noise floor")
    denoise: bool = Field(default=True, description="judge clear firings less the interference of other latents")
    engine: Literal["local", "ray"] = Field(default="local", description="where pairs are counted")
    address: str | None = Field(default=None, description="address of the Ray cluster")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="what counts pairs, with the local engine")
    token_strata: int = Field(
        default=0, ge=0, le=100_000, description="frequent tokens that are strata of their own within a document"
    )
    resolution: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default="auto", description="resolution of the clusters; auto: a sweep over 30 of them"
    )
    objective: Literal["cpm", "modularity"] = Field(default="cpm", description="what Leiden maximises")
    runs: int = Field(default=20, ge=2, le=1000, description="Leiden runs at each resolution of the sweep")
    rewires: int = Field(default=200, ge=2, le=100_000, description="rewired graphs that clusters are compared with")
    processes: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="that share a sweep or rewires; by default one a processor, 8 at the most",
    )
    decoders: bool = Field(default=True, description="load the decoder directions of SAEs that have weights")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of the analyses")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**flags: Any) -> Settings:
    """Return the settings; a flag that is None counts as not given.

    Raises:
        InputError: a value is out of range or of the wrong type, `cofire.toml` has an unknown name or is not TOML.
    """
    import tomllib

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = f"--{name.replace('_', '-')}" if name in given else f"COFIRE_{name.upper()} or {TOML_FILE}"
        # Of a setting that may be one thing or another there is a complaint for each.
        said = [one["msg"] for one in error.errors() if one["loc"][:1] == first["loc"][:1]]
        raise InputError(f"setting {name} ({where}): {', or '.join(said)}; correct it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{TOML_FILE} is not valid TOML: {error}; correct it") from error
