"""The five services, each in its own package."""

from sutler import stubs

stubs.require()
