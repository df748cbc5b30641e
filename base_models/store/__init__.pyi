from .store import (
    KeptState as KeptState,
    Store as Store,
    fingerprint as fingerprint,
    resolve_store as resolve_store,
    store_key as store_key,
)
