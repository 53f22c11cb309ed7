"""A cursor over tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, TypeAlias

from lydite_math.limits import DEEPEST, TooLargeError
from lydite_math.tokens import Token, UnreadableError
from lydite_math.tree import Node

Reader: TypeAlias = "Callable[[Stream], Node]"
_END = Token("end", "", False)
_LONGEST_CONDITION: Final = 60  # tokens


class Stream:
    """Tokens that are read one after another."""

    def __init__(self, tokens: Sequence[Token], *, statement: Reader, product: Reader) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self.statement = statement
        """Reads what may stand in brackets; given from outside, since statements are made of expressions and
        expressions hold brackets."""
        self.product = product
        """Reads what may stand behind a summation sign."""
        self.bars = 0
        """Absolute values that are open, in which a bar closes."""
        self.builders = 0
        """Braces of a set that are open, in which a bar separates the condition."""
        self.integers: set[str] = set()
        """Letters that the answer itself says are whole numbers."""

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one further on; a token of kind `end` behind the last."""
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else _END

    def take(self) -> Token:
        """The next token, which is passed."""
        token = self.peek()
        self._place += 1
        return token

    def at(self, kind: str, *texts: str) -> bool:
        """Whether the next token is of the kind, and one of the texts if any are given."""
        token = self.peek()
        return token.kind == kind and (not texts or token.text in texts)

    def accept(self, kind: str, *texts: str) -> bool:
        """Passes the next token if it is of that kind and text, and says whether it did."""
        if not self.at(kind, *texts):
            return False
        self._place += 1
        return True

    def expect(self, kind: str, *texts: str) -> Token:
        """The next token, which must be of that kind and text.

        Raises:
            UnreadableError: when it is not.
        """
        if not self.at(kind, *texts):
            raise UnreadableError
        return self.take()

    def put_back(self, token: Token) -> None:
        """Makes the token the next one, in place of the one that was taken last."""
        self._place -= 1
        self._tokens = [*self._tokens[: self._place], token, *self._tokens[self._place + 1 :]]

    def deeper(self) -> None:
        """Takes note of one more level.

        Raises:
            TooLargeError: when there are too many.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooLargeError

    def back(self) -> None:
        """Takes note that a level is left."""
        self._depth -= 1

    def subscript(self) -> str:
        """The text of the next token, or of all in the braces that follow.

        Raises:
            UnreadableError: on brackets within the braces, or braces that do not end.
        """
        if not self.accept("open", "g"):
            return self.take().text
        parts = []
        while not self.accept("close", "g"):
            if self.at("end") or self.at("open"):
                raise UnreadableError
            parts.append(self.take().text)
        return "".join(parts)

    def condition_follows(self) -> bool:
        """Whether the next thing is a relation in round brackets, such as `(k in Z)` or `(y != 0)`."""
        if not self.at("open", "("):
            return False
        depth = 0
        for token in islice(self._tokens, self._place, self._place + _LONGEST_CONDITION):
            depth += {"open": 1, "close": -1}.get(token.kind, 0)
            if depth == 1 and token.kind == "rel":
                return True
            if depth == 0:
                return False
        return False
