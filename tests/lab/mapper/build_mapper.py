"""Makes the directory of the mapper's tests for dom0: its kernel, its starter, and the scripts."""

import shutil
from pathlib import Path

from lablib import places
from lablib.artifacts import mapper
from lablib.cache import Cache

HERE = Path(__file__).parent


def build_mapper(out: Path) -> Path:
    """Collect the files.

    Args:
        out: an empty directory.

    Returns:
        The directory to copy into dom0, named `mapper`.
    """
    made = out / "mapper"
    shutil.copytree(HERE / "dom0", made)
    built = mapper.build(Cache(places.cache_root()))
    for path in (*mapper.programs(), *(built / name for name in mapper.FILES)):
        shutil.copy(path, made)
    return made
