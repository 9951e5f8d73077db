"""What a broken contract is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tests.contract.compiling import ROOT, compile_protos, readme_example
from tests.contract.descriptors import Contracts

TESTDATA = ROOT / "tests/contract/testdata"

WIDGET = "sutler/widget/v1/widget.proto"
GADGET = "sutler/gadget/v1/gadget.proto"
# The test handler stands in for sutler.resource.v1, under the name that the rules know.
HANDLER = "sutler/resource/v1/resource.proto"


@dataclass(frozen=True)
class Case:
    """A change to a good contract: `old` becomes `new` once, and `rule` must then report `element`.

    `element` is relative to the package; where it ends in `.proto` it is a file. `more` are further changes that
    keep the text compiling.
    """

    rule: str
    path: str
    old: str
    new: str
    element: str
    more: tuple[tuple[str, str], ...] = ()

    @property
    def full_name(self) -> str:
        """The full name of the element to be reported."""
        package = self.path.rpartition("/")[0].replace("/", ".")
        return self.element if self.element.endswith(".proto") else f"{package}.{self.element}"

    def compile(self) -> Contracts:
        """Compiles the broken contract."""
        text = good_text(self.path)
        for old, new in ((self.old, self.new), *self.more):
            assert old in text, f"{self.path} no longer has {old!r}"
            text = text.replace(old, new, 1)
        return compile_protos({self.path: text})


@cache
def good_text(path: str) -> str:
    """Returns the good contract that cases change."""
    if path == WIDGET:
        return readme_example()
    name = "gadget" if path == GADGET else "handler"
    return (TESTDATA / f"{name}.proto").read_text(encoding="utf-8")
