r"""Filters: one language for every list, watch and bulk call (a subset of AIP-160), with SQL and Python targets.

The language:

* ``field op value`` with ``= != < <= > >= :``, joined by AND, OR, NOT or ``-``, and parentheses. OR binds tighter than
  AND: ``a = 1 AND b = 2 OR c = 3`` means ``a = 1 AND (b = 2 OR c = 3)``. Bare words and functions do not exist.
* A path such as ``metadata.state`` leads to a field, a key of a map (``tags.env``) or into an open field
  (``properties.disk.size``). A key with other characters than letters, digits, ``_`` and ``-`` is quoted:
  ``tags."app.kubernetes.io/name"``. A path does not lead through a list.
* Values are quoted with ``"`` or ``'`` or, without spaces and parentheses, bare. In quotes ``\`` escapes ``" ' \ *``.
  Times are RFC 3339, durations ``1.5s``, bools ``true`` and ``false``, enums their names, with
  the prefix of the contract or without: ``state = STATE_RUNNING`` is ``state = RUNNING``.
* A star before or after a text stands for any characters, with ``=``, ``!=`` and ``:``; elsewhere in it a star is a
  star. Text compares by code point, with regard to case.
* In an open field a quoted value is text; a bare one is a number, a bool, or else text. Only values of its own type
  compare with it; everything else, and null, counts as absent.
* An absent field is not ``=`` to anything, ``!=`` to everything, and neither less nor greater. NOT turns exactly the
  one into the other.
* ``f:*`` tests presence: an empty string field, list or map is absent, but an empty text in a map or an open field is
  present. ``f:x`` on a list means that it has the element, on a map that it has the key (stars work in both), on all
  others ``f = x``; an open field takes whichever its value is. "Contains" is ``f = "*x*"``.
* At most 4 KiB, and ten levels of alternating AND, OR and NOT.
"""

from __future__ import annotations

from sutler.filtering.filter import Filter, parse
from sutler.filtering.fragments import Dialect
from sutler.filtering.nodes import And, Compare, Has, Match, Node, Not, Op, Or, Pattern, Present, Value, Visitor
from sutler.filtering.order import after_sql, order_sql, position
from sutler.filtering.schema import Field, Kind, Ref, Schema, Type
from sutler.filtering.syntax import MAX_BYTES, MAX_DEPTH

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "And",
    "Compare",
    "Dialect",
    "Field",
    "Filter",
    "Has",
    "Kind",
    "Match",
    "Node",
    "Not",
    "Op",
    "Or",
    "Pattern",
    "Present",
    "Ref",
    "Schema",
    "Type",
    "Value",
    "Visitor",
    "after_sql",
    "order_sql",
    "parse",
    "position",
]
