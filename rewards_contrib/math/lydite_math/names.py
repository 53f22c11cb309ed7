"""The names that a reader of mathematics knows."""

from __future__ import annotations

from typing import Final

GREEK: Final = frozenset({
    "pi", "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
    "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell", "hbar", "aleph",
})  # fmt: skip
FUNCTIONS: Final = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "cosec": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "asin": "asin", "acos": "acos", "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "coth": "coth",
    "sech": "sech", "csch": "csch", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "ln": "ln", "log": "log", "lg": "lg", "exp": "exp", "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs", "sgn": "sign",
    "sign": "sign", "floor": "floor", "ceil": "ceil", "ceiling": "ceil", "gcd": "gcd", "lcm": "lcm", "max": "max",
    "min": "min", "factorial": "factorial", "binomial": "binom", "det": "det", "re": "re", "im": "im", "arg": "arg",
    "deg": "deg", "dim": "dim", "ker": "ker", "Pr": "Pr", "varphi": "phi",
}  # fmt: skip
UPRIGHT: Final = {
    "tg": "tan", "ctg": "cot", "arctg": "atan", "arcctg": "acot", "Re": "re", "Im": "im", "ch": "cosh", "sh": "sinh",
    "th": "tanh", "Arctan": "atan", "Arcsin": "asin", "Log": "log",
}  # fmt: skip
"""Names that are functions in upright type, and products of letters otherwise."""
INVERSES: Final = {
    "sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec", "csc": "acsc", "sinh": "asinh",
    "cosh": "acosh", "tanh": "atanh",
}  # fmt: skip
SEVERAL: Final = frozenset({"gcd", "lcm", "max", "min", "binom"})
"""Functions of several arguments."""
RELATIONS: Final = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "=<": "<=", "=>": ">=", ":=": "=",
    "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\approx": "~", "\\cong": "~", "\\in": "in", "\\notin": "notin",
    "\\equiv": "==", "\\subset": "sub", "\\subseteq": "sub", "\\supset": "sup", "\\mid": "|", "\\ll": "<",
    "\\gg": ">", "\\parallel": "||",
    "\\perp": "perp",
}  # fmt: skip
NUMBER_SETS: Final = frozenset({"R", "Z", "N", "Q", "C"})
OPAQUE: Final = frozenset({
    "\\int", "\\iint", "\\iiint", "\\oint", "\\lim", "\\limsup", "\\liminf", "\\sup", "\\inf", "\\ldots",
    "\\cdots", "\\to", "\\mapsto", "\\Leftrightarrow", "\\partial", "\\nabla", "\\overbrace", "\\underbrace",
    "\\stackrel", "\\overset", "\\underset", "\\xrightarrow", "\\langle|", "\\neg", "\\lnot", "\\uparrow",
    "\\downarrow",
})  # fmt: skip
"""Commands whose meaning is not computed: texts with one are compared as written."""
STOP_WORDS: Final = frozenset({
    "the", "a", "an", "of", "is", "are", "was", "were", "be", "to", "it", "its", "this", "that", "these",
    "those", "there", "for", "from", "with", "by", "on", "at", "as", "so", "then", "thus", "hence", "therefore",
    "we", "have", "has", "can", "not", "no", "if", "when", "where", "which", "what", "all", "any", "each",
    "every", "some", "only", "but", "because", "since",
})  # fmt: skip
