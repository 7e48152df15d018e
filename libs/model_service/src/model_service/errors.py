"""The errors of this package."""


class ModelServiceError(Exception):
    """The base of this package's errors."""


class DeclarationError(ModelServiceError):
    """A model's declaration cannot be served; the message names the attribute and the remedy."""


class WrongAnswerError(ModelServiceError):
    """A model gave something else than it declares; the message names the output."""
