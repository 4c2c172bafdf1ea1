"""Data sources: files, the store of converted data, the embedded data set, exchange APIs."""

from margin_cluster.sources.candle_files import is_marked_synthetic
from margin_cluster.sources.chain_files import (
    ChainFile,
    chain_files,
    load_snapshot,
    load_surface_histories,
    read_chain,
)
from margin_cluster.sources.challenge_history import ChallengeHistory, ChallengeRecord
from margin_cluster.sources.data_folder import DataFolder, UsedFile
from margin_cluster.sources.depth_files import load_depth_history
from margin_cluster.sources.files import file_sha256, read_json, read_table, read_toml
from margin_cluster.sources.model_registry import ModelRecord, ModelRegistry
from margin_cluster.sources.plausibility import (
    is_written_by_hand,
    naming_written_market,
    require_plausible,
    written_market_hint,
)
from margin_cluster.sources.rate_files import load_rate_curve, with_recorded_rates
from margin_cluster.sources.snapshot_file import snapshot_from_toml
from margin_cluster.sources.store import ParquetStore
from margin_cluster.sources.synthetic_folder import synthetic_folder, write_synthetic_folder

__all__ = [
    "ChallengeHistory",
    "ChallengeRecord",
    "ChainFile",
    "DataFolder",
    "ModelRecord",
    "ModelRegistry",
    "ParquetStore",
    "UsedFile",
    "chain_files",
    "file_sha256",
    "is_marked_synthetic",
    "is_written_by_hand",
    "load_depth_history",
    "load_rate_curve",
    "load_snapshot",
    "load_surface_histories",
    "naming_written_market",
    "read_chain",
    "read_json",
    "read_table",
    "read_toml",
    "require_plausible",
    "snapshot_from_toml",
    "synthetic_folder",
    "with_recorded_rates",
    "write_synthetic_folder",
    "written_market_hint",
]
