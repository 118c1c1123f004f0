"""The use cases, as plain functions that the API and the workers share."""

import pkgutil
from importlib import import_module


def import_all() -> None:
    """Import every module of this package, so that the work and the causes of all jobs are registered."""
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        import_module(module.name)
