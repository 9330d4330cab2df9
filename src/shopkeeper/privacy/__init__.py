"""What a shop knows of people, taken away or named anew, wherever it stands: in the data and in what was learned.

Every number here is an exact count over what is stored.
"""

from shopkeeper.privacy.acts import rotate
from shopkeeper.privacy.answers import Rotation

__all__ = ["Rotation", "rotate"]
