"""The model whitelist: nine contracts, each declared once, and everything that follows from them.

models      the nine classes and their union: the whitelist itself
contract    what a declared field means; folds over one contract
wire, price, rules, pictures    the words a declaration is made of
vocabulary  what callers may write, brought into one vocabulary
cheaper     what would cost less
reading     arguments -> frozen request, or one clear error
"""

from aivideo_mcp.contracts.cheaper import cheaper_ways
from aivideo_mcp.contracts.contract import Contract, Slot
from aivideo_mcp.contracts.models import MODELS
from aivideo_mcp.contracts.pictures import MAX_IMAGE_BYTES, Local, picture_uri, too_large
from aivideo_mcp.contracts.reading import read_request
from aivideo_mcp.contracts.vocabulary import model_named, shown

__all__ = [
    "MAX_IMAGE_BYTES",
    "MODELS",
    "Contract",
    "Local",
    "Slot",
    "cheaper_ways",
    "model_named",
    "picture_uri",
    "read_request",
    "shown",
    "too_large",
]
