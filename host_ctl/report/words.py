"""Words for people, in place of names from the code."""

_REFUSALS = {
    "out_of_range": "handle beyond the last entry",
    "not_requested": "handle never requested, or released",
    "pasid_enable": "PASID Enable of entry and queue differ",
    "pasid": "entry belongs to another PASID",
    "no_storage": "the queue leads to no table, directory or page",
}


def refusal_words(reason: str) -> str:
    """Why a handle was refused (enum refusal; DSA specification 5.4, table 5-2), in words."""
    return _REFUSALS.get(reason, reason.replace("_", " "))
