"""Runs the dummy service as a process: ``python -m tests.integration.libs``."""

from sutler.process import main

from tests.integration.libs.dummy import Dummy, Settings

if __name__ == "__main__":
    main(Dummy().app, Settings)
