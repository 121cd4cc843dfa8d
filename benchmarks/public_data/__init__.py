"""Public data sets: from each one's published raw files to session files, by the literature's protocol.

`DATASETS` says of every data set which files it has, how they are read and by which protocol they are split;
`prepare` does it. The package is not called `datasets`, as a well-known library is: other packages look for
that one by name in the same process.
"""

from public_data.catalogue import DATASETS, DataSet
from public_data.prepare import Prepared, prepare

__all__ = ["DATASETS", "DataSet", "Prepared", "prepare"]
