"""What can go wrong in the model library.

    ModelError
    ├── ConfigError        a setting is out of its range, or two settings contradict each other
    ├── DataError          sessions, item ids or shapes that the model cannot take
    ├── TrainingError      the loss became NaN or infinite
    ├── WorkerError        of several processes that train together one ended, is stuck, or never began
    └── SavedModelError    a folder that is not a model, or one of another version, shape or content

Each message says what was expected, what came, and what to do next.
"""


class ModelError(Exception):
    """Anything the model library refuses."""


class ConfigError(ModelError, ValueError):
    """A setting is out of its range, or two settings contradict each other."""


class DataError(ModelError, ValueError):
    """Sessions, item ids or shapes that the model cannot take."""


class TrainingError(ModelError, ArithmeticError):
    """The loss became NaN or infinite."""


class WorkerError(ModelError, RuntimeError):
    """Of several processes that train together one ended, is stuck, or never began."""


class SavedModelError(ModelError):
    """A folder that is not a saved model, or one of another version, shape or content."""
