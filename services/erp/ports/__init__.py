"""What the domain needs from outside: drivers, a cache, a box for secrets, and stores."""

from services.erp.ports.cache import Claims, Hit, RecordCache
from services.erp.ports.driver import Capability, Driver, DriverInfo, MakeDriver, Prepared
from services.erp.ports.feeds import FeedStore, Step
from services.erp.ports.keys import Claim, HeldKeys, KeyStore
from services.erp.ports.secrets import SecretBox
from services.erp.ports.stores import ConnectionStore, FieldSets, FigureStore, JournalStore, Query, SubscriptionStore

__all__ = [
    "Capability",
    "Claim",
    "Claims",
    "ConnectionStore",
    "Driver",
    "DriverInfo",
    "FeedStore",
    "FieldSets",
    "FigureStore",
    "HeldKeys",
    "Hit",
    "JournalStore",
    "KeyStore",
    "MakeDriver",
    "Prepared",
    "Query",
    "RecordCache",
    "SecretBox",
    "Step",
    "SubscriptionStore",
]
