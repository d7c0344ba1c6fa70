"""Fitted models on disk: numbers and text with a manifest; loading never runs code from a file."""

from mlcore.store.folds import StoredFold, load_fold, save_fold
from mlcore.store.run import forecast_from_store, stored_folds
from mlcore.store.state import ModelState, StoreError

__all__ = ["ModelState", "StoreError", "StoredFold", "forecast_from_store", "load_fold", "save_fold", "stored_folds"]
