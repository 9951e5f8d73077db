"""Types of provider written in Python: within ProviderService, or behind a port of their own.

* :class:`ProviderType`: what an author writes, with a pydantic model of the config.
* :class:`Call`: who calls, and for which provider.
* :class:`ProviderPluginServicer`: serves types as ``sutler.provider.v1.ProviderPlugin``.
* :mod:`sutler.providers.serving`: a server of one type, ``python -m sutler.providers``.
"""

from sutler.providers.base import Call, NoConfig, ProviderType
from sutler.providers.servicer import ProviderPluginServicer

__all__ = ["Call", "NoConfig", "ProviderPluginServicer", "ProviderType"]
