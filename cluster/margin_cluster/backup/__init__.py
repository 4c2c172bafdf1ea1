"""Creating, restoring and verifying backups of a service's ledger and stored objects."""

from margin_cluster.backup.folder import Backup, create_backup, restore_backup
from margin_cluster.backup.verification import ServiceVerification, accept_loss, verify_service

__all__ = [
    "Backup",
    "ServiceVerification",
    "accept_loss",
    "create_backup",
    "restore_backup",
    "verify_service",
]
